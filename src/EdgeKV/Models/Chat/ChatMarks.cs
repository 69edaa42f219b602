using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;

namespace EdgeKV.Models.Chat;

/// <summary>
/// Stands in for the texts of a conversation while a template writes it, so that afterwards each text has its place and the rest is the template's.
/// </summary>
/// <remarks>
/// A text's stand-in is two marks around a few characters. The marks are letters and digits that nobody can guess, which no template trims or escapes;
/// what became of the characters between them says whether the template wrote the text as a JSON string, and how.
/// </remarks>
internal sealed class ChatMarks
{
    private const string Probe = "\"\u00fc";
    private const int MostEscapes = 3;

    private readonly List<(string Text, string Probe, int Message, int Part)> _texts = [];
    private readonly string _secret = RandomNumberGenerator.GetHexString(24, lowercase: true);

    /// <summary>The stand-in of a part of a message's content.</summary>
    public string OfContent(string text, int message, int part) => Add(text, Probe, message, part);

    /// <summary>The stand-in of another text of a message: its thoughts, a name in a call's arguments.</summary>
    public string OfText(string text, int message) => Add(text, Probe, message, part: -1);

    /// <summary>The stand-in of a value in a call's arguments. Templates that write XML look for characters that it would need.</summary>
    public string OfValue(string text, int message) => Add(text, Probe + string.Concat("<&\n".Where(text.Contains)), message, part: -1);

    /// <summary>The pieces of a prompt with the texts in the place of their stand-ins.</summary>
    /// <param name="pieces">What the template wrote.</param>
    /// <exception cref="UnsupportedModelException">The template changes texts.</exception>
    public ChatSegment[] Resolve(IEnumerable<NativeChatPiece> pieces)
    {
        Regex mark = new($"kv{_secret}a([0-9]{{6}})(.{{1,64}}?)kv{_secret}z\\1", RegexOptions.CultureInvariant | RegexOptions.Singleline);
        List<ChatSegment> segments = [];
        foreach (NativeChatPiece piece in pieces)
        {
            if (piece.Control)
            {
                segments.Add(new ChatSegment(piece.Text, ChatSegmentKind.Control));
                continue;
            }

            int start = 0;
            foreach (Match match in mark.Matches(piece.Text))
            {
                (string text, string probe, int message, int part) = _texts[int.Parse(match.Groups[1].ValueSpan, CultureInfo.InvariantCulture)];
                AddTemplate(piece.Text[start..match.Index]);
                string written = Written(text, probe, match.Groups[2].Value, MostEscapes)
                    ?? throw new UnsupportedModelException("The model's chat template writes the texts of a conversation in a form that is neither plain nor JSON.");
                segments.Add(new ChatSegment(written, ChatSegmentKind.Content, message, part));
                start = match.Index + match.Length;
            }

            AddTemplate(piece.Text[start..]);
        }

        return [.. segments];

        void AddTemplate(string text)
        {
            if (text.Contains(_secret, StringComparison.OrdinalIgnoreCase))
            {
                throw new UnsupportedModelException("The model's chat template does not write the texts of a conversation as they stand.");
            }

            if (text.Length > 0)
            {
                segments.Add(new ChatSegment(text, ChatSegmentKind.Template));
            }
        }
    }

    private string Add(string text, string probe, int message, int part)
    {
        string number = _texts.Count.ToString("D6", CultureInfo.InvariantCulture);
        _texts.Add((text, probe, message, part));
        return $"kv{_secret}a{number}{probe}kv{_secret}z{number}";
    }

    /// <summary>The text as the template wrote it, by what it made of the probe; null when that is no number of JSON strings in each other.</summary>
    private static string? Written(string text, string probe, string found, int escapes) => probe == found
        ? text
        : escapes == 0 || probe.Length > found.Length
            ? null
            : Written(AsJson(text, ascii: false), AsJson(probe, ascii: false), found, escapes - 1)
                ?? Written(AsJson(text, ascii: true), AsJson(probe, ascii: true), found, escapes - 1);

    /// <summary>A text as it stands between the quotation marks of JSON, as templates write it.</summary>
    private static string AsJson(string text, bool ascii)
    {
        StringBuilder json = new(text.Length + 8);
        foreach (char letter in text)
        {
            _ = letter switch
            {
                '"' => json.Append("\\\""),
                '\\' => json.Append("\\\\"),
                '\b' => json.Append("\\b"),
                '\f' => json.Append("\\f"),
                '\n' => json.Append("\\n"),
                '\r' => json.Append("\\r"),
                '\t' => json.Append("\\t"),
                _ when letter < ' ' || (ascii && letter > '\u007f') => json.Append(CultureInfo.InvariantCulture, $"\\u{(int)letter:x4}"),
                _ => json.Append(letter),
            };
        }

        return json.ToString();
    }
}
