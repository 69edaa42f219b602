namespace EdgeKV.Evaluation;

/// <summary>RULER's fwe: coded words whose frequencies follow a zeta distribution (alpha 2), the most frequent of them dots; the next three are asked for.</summary>
internal static class FrequentWords
{
    /// <summary>Words; with fewer the fourth and the fifth could come equally often.</summary>
    public const int Least = 150;

    private const int Letters = 6;
    private const int Asked = 3;
    private const int TokensPerWord = 50;
    private const int LeastVocabulary = 10;
    private const double Zeta = Math.PI * Math.PI / 6;
    private const string Task = "Read the following coded text and track the frequency of each coded word. Find the three most frequently appeared coded words. ";
    private const string Question =
        "Question: Do not provide any explanation. Please ignore the dots '....'. What are the three most frequently appeared words in the above coded text? ";

    private const string Answer = "Answer: According to the coded text above, the three most frequently appeared words are:";

    /// <summary>See <see cref="SyntheticTask.Begin"/>. The longer the sample, the more different words.</summary>
    public static Func<int, SyntheticText> Begin(string name, int length)
    {
        SampleRandom random = new(name);
        string[] drawn = SampleRandom.Different(Math.Max(LeastVocabulary, length / TokensPerWord), () => random.Letters(Letters, 'a'));
        string[] vocabulary = ["...", .. drawn];
        return size =>
        {
            IEnumerable<string> words = vocabulary.SelectMany((word, i) => Enumerable.Repeat(word, (int)(size / (Zeta * (i + 1) * (i + 1)))));
            string text = string.Join(' ', new SampleRandom(name + "/order").Shuffled(words));
            return new SyntheticText($"{Task}{text}\n", Question, Answer, vocabulary[1..(Asked + 1)]);
        };
    }
}
