using System.Text;

namespace EdgeKV.Evaluation;

/// <summary>
/// SQuAD's exact match and F1 (arXiv 1606.05250), the latter LongBench's for English too: lower case, no ASCII punctuation, no articles.
/// </summary>
internal static class WordOverlap
{
    public static double ExactMatch(string answer, string reference) => Words(answer).SequenceEqual(Words(reference)) ? 1 : 0;

    /// <summary>Harmonic mean of the shares of words, with their counts, that both have. 0 where one has no words, both even.</summary>
    public static double F1(string answer, string reference)
    {
        List<string> said = Words(answer);
        List<string> asked = Words(reference);
        Dictionary<string, int> left = asked.CountBy(word => word).ToDictionary();
        int common = 0;
        foreach (string word in said)
        {
            if (left.TryGetValue(word, out int count) && count > 0)
            {
                left[word] = count - 1;
                common++;
            }
        }

        if (common == 0)
        {
            return 0;
        }

        double precision = (double)common / said.Count;
        double recall = (double)common / asked.Count;
        return 2 * precision * recall / (precision + recall);
    }

    private static List<string> Words(string text)
    {
        StringBuilder plain = new(text.Length);
        foreach (char c in PythonText.Lower(text))
        {
            if (!(char.IsAscii(c) && (char.IsPunctuation(c) || char.IsSymbol(c))))
            {
                plain.Append(c);
            }
        }

        return PythonText.Split(WithoutArticles(plain.ToString()));
    }

    // An article is one only where nothing of a word touches it; what stands around it need not be whitespace.
    private static string WithoutArticles(string text)
    {
        StringBuilder kept = new(text.Length);
        int word = 0;
        for (int i = 0; i < text.Length;)
        {
            Rune.DecodeFromUtf16(text.AsSpan(i), out Rune c, out int length);
            if (!PythonText.IsWord(c))
            {
                AppendWord(i);
                kept.Append(text, i, length);
                word = i + length;
            }

            i += length;
        }

        AppendWord(text.Length);
        return kept.ToString();

        void AppendWord(int end) => kept.Append(text[word..end] is "a" or "an" or "the" ? " " : text[word..end]);
    }
}
