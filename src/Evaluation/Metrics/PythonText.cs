using System.Globalization;
using System.Text;

namespace EdgeKV.Evaluation;

/// <summary>What the metrics' originals, which are Python, take for whitespace and for words.</summary>
internal static class PythonText
{
    /// <summary>Whitespace as str.split has it: four separators more than .NET's.</summary>
    public static bool IsSpace(char c) => char.IsWhiteSpace(c) || c is >= '\u001c' and <= '\u001f';

    /// <summary>As str.split does without an argument.</summary>
    public static List<string> Split(string text)
    {
        List<string> words = [];
        int start = 0;
        for (int i = 0; i <= text.Length; i++)
        {
            if (i == text.Length || IsSpace(text[i]))
            {
                if (i > start)
                {
                    words.Add(text[start..i]);
                }

                start = i + 1;
            }
        }

        return words;
    }

    /// <summary>As str.strip does without an argument.</summary>
    public static string Strip(string text)
    {
        int start = 0;
        int end = text.Length;
        while (start < end && IsSpace(text[start]))
        {
            start++;
        }

        while (end > start && IsSpace(text[end - 1]))
        {
            end--;
        }

        return text[start..end];
    }

    /// <summary>As str.lower does, which knows the sigma at a word's end and takes the dotted capital I apart.</summary>
    public static string Lower(string text)
    {
        char[] lower = text.ToLowerInvariant().ToCharArray();
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] == 'Σ')
            {
                lower[i] = IsCased(text, i, -1) && !IsCased(text, i, 1) ? 'ς' : 'σ';
            }
        }

        return new string(lower).Replace("İ", "i\u0307", StringComparison.Ordinal);
    }

    /// <summary>Whether a character is part of a word for \b: letters, numbers of any kind and the underscore, but no combining marks.</summary>
    public static bool IsWord(Rune c) => c.Value == '_' || Rune.GetUnicodeCategory(c) is
        UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter or UnicodeCategory.ModifierLetter or
        UnicodeCategory.OtherLetter or UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber;

    // Whether the next character of a direction has upper and lower case; marks and what may stand within a word do not count.
    private static bool IsCased(string text, int at, int step)
    {
        for (int i = at + step; i >= 0 && i < text.Length; i += step)
        {
            UnicodeCategory category = char.GetUnicodeCategory(text[i]);
            bool passedOver = text[i] is '\'' or '’' or '.' or ':' or '·' || category is
                UnicodeCategory.NonSpacingMark or UnicodeCategory.EnclosingMark or UnicodeCategory.Format or UnicodeCategory.ModifierLetter or
                UnicodeCategory.ModifierSymbol;
            if (!passedOver)
            {
                return category is UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter;
            }
        }

        return false;
    }
}
