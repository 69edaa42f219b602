using EdgeKV.Models.Chat;

namespace EdgeKV.Generation;

/// <summary>
/// Watches an answer for the texts that end it. What may be the beginning of one is held back until the next characters show what it is. A text that is one
/// control token is known by the token, as control tokens are no part of an answer's text.
/// </summary>
internal sealed class StopTexts
{
    private readonly string[] _texts;
    private readonly int[] _tokens;
    private string _held = string.Empty;

    private StopTexts(string[] texts, int[] tokens)
    {
        _texts = texts;
        _tokens = tokens;
    }

    /// <summary>Whether one of the texts was found.</summary>
    public bool IsFound { get; private set; }

    /// <summary>The watch for some texts; null where there is none.</summary>
    public static StopTexts? Of(IEnumerable<string> texts, Tokenizer tokenizer)
    {
        string[] all = [.. texts.Where(text => text.Length > 0).Distinct()];
        int[][] tokens = Array.ConvertAll(all, text => tokenizer.Tokenize(text.Trim(), parseSpecial: true));
        return all.Length == 0 ? null : new StopTexts(all, [.. tokens.Where(ids => ids is [var id] && tokenizer.Detokenize(ids, special: false).Length == 0).Select(ids => ids[0])]);
    }

    /// <summary>Whether a token is one of the texts.</summary>
    public bool Contains(int token) => _tokens.AsSpan().Contains(token);

    /// <summary>The characters of an answer that may be shown once some more have come.</summary>
    public string Next(string piece)
    {
        if (piece.Length == 0)
        {
            return piece;
        }

        // Most pieces have nothing to do with a text and are handed on as they are.
        string held = _held.Length == 0 ? piece : _held + piece;
        int shown = FirstText(held);
        IsFound = shown < held.Length;
        if (!IsFound)
        {
            shown = FirstBeginning(held);
        }

        _held = IsFound ? string.Empty : held[shown..];
        return held[..shown];
    }

    /// <summary>The characters that were held back, at the end of an answer.</summary>
    public string End()
    {
        string rest = _held;
        _held = string.Empty;
        return rest;
    }

    // Where the first of the texts begins; the end where there is none.
    private int FirstText(string held)
    {
        int first = held.Length;
        foreach (string text in _texts)
        {
            int found = held.IndexOf(text, StringComparison.Ordinal);
            first = found < 0 ? first : Math.Min(first, found);
        }

        return first;
    }

    // From where on the characters may be the beginning of a text; the end where they are not.
    private int FirstBeginning(string held)
    {
        for (int start = 0; start < held.Length; start++)
        {
            foreach (string text in _texts)
            {
                if (text.AsSpan().StartsWith(held.AsSpan(start)))
                {
                    return start;
                }
            }
        }

        return held.Length;
    }
}
