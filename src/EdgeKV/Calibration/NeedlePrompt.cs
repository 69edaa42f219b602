namespace EdgeKV.Calibration;

/// <summary>A prompt that asks for one sentence of a long text, up to where the answer begins.</summary>
/// <param name="Tokens">All of it.</param>
/// <param name="First">First token of the sentence.</param>
/// <param name="End">The token after the sentence.</param>
internal sealed record NeedlePrompt(int[] Tokens, int First, int End)
{
    /// <summary>Share of a sentence's words that an answer has, each as often as in the sentence at most (ROUGE-1 recall), 0 to 1.</summary>
    public static double Recall(string sentence, string answer)
    {
        Dictionary<string, int> said = Words(answer).GroupBy(word => word).ToDictionary(group => group.Key, group => group.Count());
        IGrouping<string, string>[] wanted = [.. Words(sentence).GroupBy(word => word)];
        int words = wanted.Sum(group => group.Count());
        return words == 0 ? 0 : (double)wanted.Sum(group => Math.Min(group.Count(), said.GetValueOrDefault(group.Key))) / words;
    }

    private static string[] Words(string text)
    {
        string plain = new([.. text.Select(letter => char.IsLetterOrDigit(letter) ? char.ToLowerInvariant(letter) : ' ')]);
        return plain.Split(' ', StringSplitOptions.RemoveEmptyEntries);
    }
}
