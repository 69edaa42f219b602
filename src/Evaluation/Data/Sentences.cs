using System.Text.RegularExpressions;

namespace EdgeKV.Evaluation;

/// <summary>Where a text may be cut or something put into it.</summary>
internal static partial class Sentences
{
    /// <summary>The places after sentences and the blanks that follow them, ascending; the text's end is always one.</summary>
    public static int[] Ends(string text)
    {
        List<int> ends = [.. Boundaries().Matches(text).Select(match => match.Index + match.Length)];
        if (text.Length > 0 && (ends.Count == 0 || ends[^1] != text.Length))
        {
            ends.Add(text.Length);
        }

        return [.. ends];
    }

    /// <summary>A text with a sentence put in at one of its <see cref="Ends"/> or at 0.</summary>
    public static string Insert(string text, int at, string sentence)
    {
        string before = text[..at];
        string after = text[at..];
        string blank = before.EndsWith('\n') ? "\n" : " ";
        return (before.Length == 0 || char.IsWhiteSpace(before[^1]) ? before : before + " ") + sentence + (after.Length == 0 ? after : blank + after);
    }

    [GeneratedRegex("""[.!?]["'”’)\]]*\s+|\n+""")]
    private static partial Regex Boundaries();
}
