namespace EdgeKV.Evaluation;

/// <summary>The release of llama.cpp that this EdgeKV was built from.</summary>
public static class LlamaRelease
{
    private static readonly Lazy<string> Read = new(() =>
    {
        using Stream stream = typeof(LlamaRelease).Assembly.GetManifestResourceStream("llama.lock")!;
        using StreamReader reader = new(stream);
        while (reader.ReadLine() is { } line)
        {
            if (line.StartsWith("tag ", StringComparison.Ordinal))
            {
                return line[4..].Trim();
            }
        }

        throw new InvalidDataException("native/llama.lock names no tag.");
    });

    /// <summary>Its tag.</summary>
    public static string Tag => Read.Value;
}
