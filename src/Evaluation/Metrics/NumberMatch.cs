using System.Text.RegularExpressions;

namespace EdgeKV.Evaluation;

/// <summary>LongBench's retrieval and counting scores: the share of the answer's numbers that are the right one, as text.</summary>
internal static partial class NumberMatch
{
    /// <summary>Against a reference that is a number.</summary>
    public static double Count(string answer, string reference)
    {
        MatchCollection numbers = Numbers().Matches(answer);
        return numbers.Count == 0 ? 0 : (double)numbers.Count(number => number.Value == reference) / numbers.Count;
    }

    /// <summary>Against a reference that names a paragraph, in English or Chinese.</summary>
    /// <exception cref="ArgumentException">The reference names none.</exception>
    public static double Retrieval(string answer, string reference) => Count(
        answer, Paragraph(reference) ?? throw new ArgumentException($"The reference \"{reference}\" names no paragraph, such as \"Paragraph 7\".", nameof(reference)));

    /// <summary>The first paragraph's number that a text names, in English if it does; null: none.</summary>
    public static string? Paragraph(string text)
    {
        Match english = English().Match(text);
        Match match = english.Success ? english : Chinese().Match(text);
        return match.Success ? match.Groups[1].Value : null;
    }

    [GeneratedRegex(@"\d+")]
    private static partial Regex Numbers();

    [GeneratedRegex(@"Paragraph (\d+)")]
    private static partial Regex English();

    [GeneratedRegex(@"段落(\d+)")]
    private static partial Regex Chinese();
}
