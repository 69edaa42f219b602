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

    /// <summary>Whether a text shows nothing: it is empty, or has blanks, control characters and characters without a width alone.</summary>
    /// <param name="text">The text.</param>
    public static bool IsBlank(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return text.EnumerateRunes().All(IsBlank);
    }

    /// <summary>A text with its control characters as JSON's escapes, such as \u001b: a terminal or a spreadsheet could obey them.</summary>
    /// <param name="text">The text.</param>
    /// <param name="isKept">Says which of them stay as they are; null: none.</param>
    public static string Escaped(string text, Func<char, bool>? isKept = null)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (!text.Any(IsEscaped))
        {
            return text;
        }

        StringBuilder shown = new();
        foreach (char letter in text)
        {
            _ = IsEscaped(letter) ? shown.Append(CultureInfo.InvariantCulture, $"\\u{(int)letter:x4}") : shown.Append(letter);
        }

        return shown.ToString();

        bool IsEscaped(char letter) => char.IsControl(letter) && isKept?.Invoke(letter) != true;
    }

    private static bool IsBlank(Rune letter) =>
        Rune.GetUnicodeCategory(letter) is UnicodeCategory.Control or UnicodeCategory.Format
            or UnicodeCategory.SpaceSeparator or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator
        || Array.Exists(Unseen, range => letter.Value >= range.First && letter.Value <= range.Last);
}
