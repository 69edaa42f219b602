using System.Text;
using EdgeKV.Files;

namespace EdgeKV.Cli.Documents;

/// <summary>A text to ask about. <paramref name="Name"/> is what messages call it.</summary>
internal sealed record Document(string Name, string Text, long Bytes);

/// <summary>Reads texts from files and from standard input, and says in one line what is wrong with one that it cannot read.</summary>
/// <param name="kind">What messages call such a text: "document".</param>
/// <param name="option">The option that named it.</param>
internal sealed class DocumentReader(string kind, string option)
{
    /// <summary>Some 16 million tokens, more than any model's window holds; keeps a pipe without an end from filling the memory.</summary>
    public const long LargestBytes = 64L * 1024 * 1024;

    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Reads the file at <paramref name="source"/>, or all of <paramref name="input"/> when that is <c>-</c>.</summary>
    /// <exception cref="CommandException">With <see cref="ExitCode.Data"/>.</exception>
    public async Task<Document> ReadAsync(string source, Stream input, CancellationToken ct)
    {
        string name = source == "-" ? "standard input" : source;
        try
        {
            byte[] bytes = source == "-" ? await InputFile.ReadAllAsync(input, LargestBytes, ct) : await InputFile.ReadAllAsync(source, LargestBytes, ct);
            return new Document(name, Decode(name, bytes), bytes.LongLength);
        }
        catch (IOException e)
        {
            throw Wrong(name, $"cannot be read ({e.Message.ReplaceLineEndings(" ").TrimEnd('.', ' ')})", $"check the path given to {option}", e);
        }
    }

    private string Decode(string name, byte[] bytes)
    {
        string text;
        try
        {
            text = Strict.GetString(bytes);
        }
        catch (DecoderFallbackException e)
        {
            throw Wrong(name, $"is not UTF-8 text (byte {e.Index})", "convert it, for example with iconv -t UTF-8", e);
        }

        // A byte order mark says how the file is written; it is no part of the text.
        text = text.TrimStart('\uFEFF');
        if (text.Contains('\0', StringComparison.Ordinal))
        {
            throw Wrong(name, "is not text (it has zero bytes)", "give a plain text file");
        }

        if (PlainText.IsBlank(text))
        {
            throw Wrong(name, string.IsNullOrWhiteSpace(text) ? "is empty" : "is empty (it has blanks and characters that nobody sees)", "give a file with text in it");
        }

        return text;
    }

    private CommandException Wrong(string name, string what, string remedy, Exception? inner = null) =>
        new(ExitCode.Data, $"{kind} {name} {what}; {remedy}.", inner);
}
