using System.Globalization;
using System.Text;

namespace EdgeKV.Evaluation;

/// <summary>RULER's cwe: a numbered list in which ten words come more often than all others, after a small solved example; the ten are asked for.</summary>
internal static class CommonWords
{
    /// <summary>Different words.</summary>
    public const int Least = Common + 1;

    private const int Common = 10;
    private const int ShortLength = 4096;
    private const string Task = "Below is a numbered list of words. In these words, some appear more often than others. Memorize the ones that appear most often.\n";
    private const string Question = "Question: What are the 10 most common words in the above list? ";
    private const string Answer = "Answer: The top 10 words that appear most often in the list are:";

    /// <summary>See <see cref="SyntheticTask.Begin"/>. Below 4096 tokens words come less often, as in RULER.</summary>
    public static Func<int, SyntheticText> Begin(string name, int length)
    {
        bool isShort = length < ShortLength;
        string[] exampleWords = Words(new SampleRandom(name + "/example"), isShort ? 20 : 40);
        string exampleList = List(exampleWords, isShort ? 3 : 10, isShort ? 1 : 3, name + "/example order");
        string example = $"{Task}{exampleList}\n{Question}{Answer}{Numbered(exampleWords[..Common])}\n";
        return size =>
        {
            string[] words = Words(new SampleRandom(name), size);
            string list = List(words, isShort ? 6 : 30, isShort ? 1 : 3, name + "/order");
            return new SyntheticText($"{example}{Task}{list}\n", Question, Answer, words[..Common]);
        };
    }

    // Simple words first, so that the common ones are always the same, whatever the size.
    private static string[] Words(SampleRandom random, int count)
    {
        int simple = SyntheticWords.Nouns.Length + SyntheticWords.Adjectives.Length;
        IEnumerable<int> numbers = random.Shuffled(Enumerable.Range(0, simple)).Take(count);
        if (count > simple)
        {
            int compounds = SyntheticWords.Count - simple;
            numbers = numbers.Concat(random.Sample(compounds, Math.Min(compounds, count - simple)).Select(number => simple + number));
        }

        return [.. numbers.Select(SyntheticWords.Word)];
    }

    private static string List(string[] words, int commonTimes, int otherTimes, string name) => Numbered(
        new SampleRandom(name).Shuffled(words.SelectMany((word, i) => Enumerable.Repeat(word, i < Common ? commonTimes : otherTimes))));

    private static string Numbered(string[] words)
    {
        StringBuilder list = new();
        for (int i = 0; i < words.Length; i++)
        {
            list.Append(i == 0 ? string.Empty : " ").Append(CultureInfo.InvariantCulture, $"{i + 1}. {words[i]}");
        }

        return list.ToString();
    }
}
