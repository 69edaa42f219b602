using System.Globalization;
using System.Text;

namespace EdgeKV.Files;

/// <summary>What a text shows to somebody who reads it.</summary>
public static class PlainText
{
    // Letters and signs by their category, and drawn as nothing: fillers of Hangul, a blank of Braille, the joiner of graphemes, vowels of Khmer, and what chooses a variant.
    private static readonly (int First, int Last)[] Unseen =
    [
        (0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2800, 0x2800), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xE0000, 0xE0FFF),
    ];

    private static readonly UnicodeCategory[] Obeyed =
        [UnicodeCategory.Control, UnicodeCategory.Format, UnicodeCategory.LineSeparator, UnicodeCategory.ParagraphSeparator];

    /// <summary>Whether a text shows nothing: it is empty, or has blanks, control characters and characters without a width alone.</summary>
    /// <param name="text">The text.</param>
    public static bool IsBlank(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return text.EnumerateRunes().All(IsBlank);
    }

    /// <summary>
    /// A text with its control characters, and those that nobody sees and that order or part others, as JSON's escapes, such as \u001b and \u202e: a terminal or a spreadsheet
    /// could obey them.
    /// </summary>
    /// <param name="text">The text.</param>
    /// <param name="isKept">Says which of them stay as they are; null: none.</param>
    public static string Escaped(string text, Func<char, bool>? isKept = null)
    {
        ArgumentNullException.ThrowIfNull(text);
        StringBuilder shown = new();
        bool isEscaped = false;
        for (int i = 0; i < text.Length; i++)
        {
            // The second half of a character goes as the first did.
            if (i == 0 || !char.IsSurrogatePair(text, i - 1))
            {
                isEscaped = Obeyed.Contains(CharUnicodeInfo.GetUnicodeCategory(text, i)) && isKept?.Invoke(text[i]) != true;
            }

            _ = isEscaped ? shown.Append(CultureInfo.InvariantCulture, $"\\u{(int)text[i]:x4}") : shown.Append(text[i]);
        }

        return shown.ToString();
    }

    private static bool IsBlank(Rune letter) =>
        Rune.GetUnicodeCategory(letter) is UnicodeCategory.Control or UnicodeCategory.Format
            or UnicodeCategory.SpaceSeparator or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator
        || Array.Exists(Unseen, range => letter.Value >= range.First && letter.Value <= range.Last);
}
