using System.Text;
using EdgeKV.Files;

namespace EdgeKV.Evaluation;

/// <summary>A text that needles are hidden in, word by word; it begins again where it ends.</summary>
internal sealed class Haystack
{
    private const string Resource = "haystack.txt";

    private readonly string[] _words;

    // Of words that begin a sentence.
    private readonly int[] _starts;

    private Haystack(string text)
    {
        _words = text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        _starts = [.. Enumerable.Range(0, _words.Length).Where(i => i == 0 || _words[i - 1].TrimEnd('"', '\'', ')', '”', '’')[^1..] is "." or "!" or "?")];
    }

    /// <summary>Places where a sentence begins.</summary>
    public int Starts => _starts.Length;

    /// <summary>The text that comes with the program.</summary>
    public static Haystack Shipped()
    {
        using Stream stream = typeof(Haystack).Assembly.GetManifestResourceStream(typeof(Haystack), Resource)!;
        using StreamReader reader = new(stream, Encoding.UTF8);
        return new Haystack(reader.ReadToEnd());
    }

    /// <exception cref="DatasetException">The file cannot be read, or shows no text.</exception>
    public static Haystack Of(string path) => new(TextOf(path));

    /// <summary>A file's text. The file is read more than once, so that a pipe will not do.</summary>
    /// <exception cref="DatasetException">The file cannot be read, or shows no text.</exception>
    public static string TextOf(string path)
    {
        string text = DataFile.Text(path, InputFile.ReadRegular);
        return PlainText.IsBlank(text) ? throw new DatasetException($"{path}: this haystack is empty, or has characters alone that nobody sees; give a text file with some pages of prose.")
            : text.Contains('\0', StringComparison.Ordinal) ? throw new DatasetException($"{path}: this haystack has zero bytes; give a text file with some pages of prose.")
            : text;
    }

    /// <summary>So many words from the beginning of a sentence on, with single blanks between them.</summary>
    public string Take(int start, int words)
    {
        StringBuilder text = new();
        for (int i = 0; i < words; i++)
        {
            text.Append(i == 0 ? string.Empty : " ").Append(_words[(_starts[start] + i) % _words.Length]);
        }

        return text.ToString();
    }
}
