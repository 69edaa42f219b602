using System.Text;

namespace EdgeKV.Cli.Documents;

/// <summary>A text to ask about. <paramref name="Name"/> is what messages call it.</summary>
internal sealed record Document(string Name, string Text, long Bytes);

/// <summary>Reads texts from files and from standard input, and says in one line what is wrong with one that it cannot read.</summary>
/// <param name="kind">What messages call such a text: "document".</param>
/// <param name="option">The option that named it.</param>
internal sealed class DocumentReader(string kind, string option)
{
    /// <summary>More than any model's window holds; keeps a wrong path such as a disk image from filling the memory.</summary>
    public const long LargestBytes = 64L * 1024 * 1024;

    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Reads the file at <paramref name="source"/>, or all of <paramref name="input"/> when that is <c>-</c>.</summary>
    /// <exception cref="CommandException">With <see cref="ExitCode.Data"/>.</exception>
    public async Task<Document> ReadAsync(string source, Stream input, CancellationToken ct)
    {
        string name = source == "-" ? "standard input" : source;
        byte[] bytes = source == "-" ? await ReadAllAsync(name, input, ct) : await ReadFileAsync(source, ct);
        return new Document(name, Decode(name, bytes), bytes.LongLength);
    }

    private async Task<byte[]> ReadFileAsync(string path, CancellationToken ct)
    {
        if (path.Length == 0)
        {
            throw Wrong("''", "is not a path", $"give {option} a file");
        }

        if (Directory.Exists(path))
        {
            throw Wrong(path, "is a folder", $"give {option} one text file");
        }

        try
        {
            await using FileStream file = new(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16, FileOptions.Asynchronous);
            return await ReadAllAsync(path, file, ct);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw Wrong(path, "does not exist", $"check the path given to {option}", e);
        }
        catch (UnauthorizedAccessException e)
        {
            throw Wrong(path, "may not be read by this user", "change its permissions or give another file", e);
        }
        catch (Exception e) when (e is IOException or ArgumentException or NotSupportedException)
        {
            throw Wrong(path, $"cannot be read ({OneLine(e.Message)})", $"check the path given to {option}", e);
        }
    }

    private async Task<byte[]> ReadAllAsync(string name, Stream stream, CancellationToken ct)
    {
        using MemoryStream all = new();
        byte[] block = new byte[1 << 16];
        int read;
        while ((read = await stream.ReadAsync(block, ct)) > 0)
        {
            if (all.Length + read > LargestBytes)
            {
                throw Wrong(name, $"is larger than {ByteSize.Format(LargestBytes)}", "no model's window holds that much text; give a part of it");
            }

            all.Write(block, 0, read);
        }

        return all.ToArray();
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

        if (string.IsNullOrWhiteSpace(text))
        {
            throw Wrong(name, "is empty", "give a file with text in it");
        }

        return text;
    }

    private CommandException Wrong(string name, string what, string remedy, Exception? inner = null) =>
        new(ExitCode.Data, $"{kind} {name} {what}; {remedy}.", inner);

    private static string OneLine(string text) => text.ReplaceLineEndings(" ").TrimEnd('.', ' ');
}
