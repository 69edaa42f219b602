using System.Globalization;
using System.Text;
using System.Text.Json;
using EdgeKV.Files;

namespace EdgeKV.Evaluation;

/// <summary>Reads a data set's files, and says in one line what is wrong with one that it cannot read.</summary>
internal static class DataFile
{
    private static readonly JsonDocumentOptions KeysOnce = new() { AllowDuplicateProperties = false };

    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>A file's text, without a byte order mark.</summary>
    /// <param name="path">The file.</param>
    /// <param name="read">Reads its bytes; null: as those of any text.</param>
    /// <exception cref="DatasetException">It cannot be read or is not UTF-8.</exception>
    public static string Text(string path, Func<string, byte[]>? read = null)
    {
        try
        {
            return Strict.GetString(read is null ? InputFile.ReadAll(path) : read(path)).TrimStart('\uFEFF');
        }
        catch (DecoderFallbackException e)
        {
            throw new DatasetException($"{path}: this is not UTF-8 text (byte {e.Index}); convert it, for example with iconv -t UTF-8.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DatasetException($"{path}: this file cannot be read ({e.Message.TrimEnd('.')}); check its path and permissions.", e);
        }
    }

    /// <summary>The regular files of a folder, in the order of <see cref="Entries"/>. Whoever opens a pipe in it would wait for ever.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="pattern">Of their names.</param>
    /// <exception cref="DatasetException">It cannot be read.</exception>
    public static IReadOnlyList<string> Files(string folder, string pattern = "*") =>
        Entries(folder, path => Directory.EnumerateFiles(path, pattern).Where(InputFile.IsRegular));

    /// <summary>What is in a folder: numbers by value, then all others by name.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="entries">Lists it.</param>
    /// <exception cref="DatasetException">It cannot be read.</exception>
    public static IReadOnlyList<string> Entries(string folder, Func<string, IEnumerable<string>> entries)
    {
        try
        {
            return [.. entries(folder)
                .OrderBy(path => long.TryParse(Path.GetFileName(path), NumberStyles.None, CultureInfo.InvariantCulture, out long number) ? number : long.MaxValue)
                .ThenBy(path => path, StringComparer.Ordinal)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DatasetException($"{folder}: this folder cannot be read ({e.Message.TrimEnd('.')}); check its permissions.", e);
        }
    }

    /// <summary>The objects of a file that has one on each line; empty lines are left out.</summary>
    /// <param name="path">For messages.</param>
    /// <param name="text">The file's text.</param>
    /// <param name="shape">See <see cref="JsonRow.Shape"/>.</param>
    /// <exception cref="DatasetException">A line is not a JSON object, or gives a key twice.</exception>
    public static IEnumerable<JsonRow> Rows(string path, string text, string shape)
    {
        int number = 0;
        foreach (string line in text.Split('\n'))
        {
            number++;
            if (!string.IsNullOrWhiteSpace(line))
            {
                yield return Row(line, $"{path}:{number}", shape);
            }
        }
    }

    /// <summary>Whether the first line that is not empty is whole JSON by itself.</summary>
    public static bool BeginsWithALine(string text)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(text.Split('\n').FirstOrDefault(line => !string.IsNullOrWhiteSpace(line), string.Empty));
            return true;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    /// <summary>The one object of a file.</summary>
    /// <exception cref="DatasetException">It is not a JSON object, or gives a key twice.</exception>
    public static JsonRow Whole(string path, string text, string shape) => Row(text, path, shape);

    private static JsonRow Row(string json, string source, string shape)
    {
        JsonElement element;
        try
        {
            using JsonDocument document = JsonDocument.Parse(json, KeysOnce);
            element = document.RootElement.Clone();
        }
        catch (JsonException e) when (e.LineNumber is null)
        {
            // What is no JSON has a place; this is JSON, and of two values one would be lost.
            throw new DatasetException($"{source}: a key is given twice ({e.Message.TrimEnd('.')}); give it once: {shape}.", e);
        }
        catch (JsonException e)
        {
            string line = e.LineNumber > 0 ? $"line {e.LineNumber + 1}, " : string.Empty;
            throw new DatasetException($"{source}: this is not JSON ({line}byte {e.BytePositionInLine + 1}); mend it or leave it out: {shape}.", e);
        }

        JsonRow row = new(element, source, shape);
        return element.ValueKind == JsonValueKind.Object ? row : throw row.Wrong($"this is {JsonRow.Kind(element)}, not an object");
    }
}
