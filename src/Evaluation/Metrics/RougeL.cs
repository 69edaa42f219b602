namespace EdgeKV.Evaluation;

/// <summary>
/// ROUGE-L as LongBench has it from the Python package rouge 1.0.1: of the whole text, with sentences that end at full stops and each different word
/// counted once. Case and punctuation count.
/// </summary>
/// <remarks>
/// The package gives up, and LongBench then says 0, where two sentences have more words together than Python may recurse (about 1,000). This does not.
/// </remarks>
internal static class RougeL
{
    // The package's own guard against 0 / 0.
    private const double Guard = 1e-8;

    /// <summary>The F measure; 0 where the answer or the reference has nothing but full stops.</summary>
    public static double F(string answer, string reference)
    {
        List<string[]> said = Sentences(answer);
        List<string[]> asked = Sentences(reference);
        if (said.Count == 0 || asked.Count == 0)
        {
            return 0;
        }

        HashSet<string> common = [];
        foreach (string[] sentence in asked)
        {
            foreach (string[] other in said)
            {
                AddCommon(sentence, other, common);
            }
        }

        double recall = (double)common.Count / Different(asked);
        double precision = (double)common.Count / Different(said);
        return 2 * (precision * recall / (precision + recall + Guard));
    }

    // A blank between two full stops is a sentence of one empty word.
    private static List<string[]> Sentences(string text) =>
        [.. text.Split('.').Where(sentence => sentence.Length > 0).Select(sentence => string.Join(' ', PythonText.Split(sentence)).Split(' '))];

    private static int Different(List<string[]> sentences) => sentences.SelectMany(sentence => sentence).Distinct().Count();

    /// <summary>The words of a longest common subsequence. Of several, the one that is found from the end, leaving out words of the answer first.</summary>
    private static void AddCommon(string[] reference, string[] answer, HashSet<string> common)
    {
        int[,] longest = new int[reference.Length + 1, answer.Length + 1];
        for (int i = 1; i <= reference.Length; i++)
        {
            for (int j = 1; j <= answer.Length; j++)
            {
                longest[i, j] = reference[i - 1] == answer[j - 1] ? longest[i - 1, j - 1] + 1 : Math.Max(longest[i - 1, j], longest[i, j - 1]);
            }
        }

        for (int i = reference.Length, j = answer.Length; i > 0 && j > 0;)
        {
            if (reference[i - 1] == answer[j - 1])
            {
                common.Add(reference[i - 1]);
                i--;
                j--;
            }
            else if (longest[i - 1, j] > longest[i, j - 1])
            {
                i--;
            }
            else
            {
                j--;
            }
        }
    }
}
