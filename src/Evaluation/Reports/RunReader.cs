using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace EdgeKV.Evaluation;

/// <summary>Reads what a run wrote.</summary>
internal static class RunReader
{
    private const string ManifestName = "run.json";
    private const string ResultsName = "results.jsonl";

    /// <summary>The run's manifest and its cells; half a line at the end of the results, which a killed run leaves, is left out.</summary>
    /// <param name="folder">The run's folder.</param>
    /// <exception cref="ReportException">A file is missing or damaged.</exception>
    public static (RunManifest Manifest, IReadOnlyList<CellResult> Results) Read(string folder)
    {
        string manifestFile = Path.Combine(folder, ManifestName);
        string resultsFile = Path.Combine(folder, ResultsName);
        if (!File.Exists(manifestFile))
        {
            throw new ReportException($"{folder} holds no {ManifestName}; name a folder that 'edgekv eval' wrote.");
        }

        RunManifest manifest = Parse(ReadText(manifestFile), manifestFile, RunReaderContext.Default.RunManifest);
        if (manifest.Version != RunManifest.CurrentVersion)
        {
            throw new ReportException($"{manifestFile} has version {manifest.Version}, this EdgeKV reads {RunManifest.CurrentVersion}; run it again.");
        }

        List<CellResult> results = [];
        string[] lines = File.Exists(resultsFile) ? ReadText(resultsFile).Split('\n') : [];
        for (int i = 0; i < lines.Length - 1; i++)
        {
            results.Add(Parse(lines[i], $"{resultsFile}, line {i + 1}", RunReaderContext.Default.CellResult));
        }

        return (manifest, results);
    }

    private static string ReadText(string file)
    {
        try
        {
            using FileStream stream = new(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
            using StreamReader reader = new(stream, Encoding.UTF8);
            return reader.ReadToEnd();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ReportException($"{file} cannot be read: {e.Message}", e);
        }
    }

    private static T Parse<T>(string json, string where, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type)
    {
        try
        {
            return JsonSerializer.Deserialize(json, type) ?? throw new JsonException("it is null");
        }
        catch (JsonException e)
        {
            throw new ReportException($"{where}: {e.Message.TrimEnd('.')}. Mend it or take it out.", e);
        }
    }
}

/// <summary>A score that a failed cell has not is null, or the word NaN.</summary>
internal sealed class MissingScoreConverter : JsonConverter<double>
{
    public override bool HandleNull => true;

    public override double Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.TokenType switch
    {
        JsonTokenType.Null => double.NaN,
        JsonTokenType.String when reader.ValueTextEquals("NaN") => double.NaN,
        JsonTokenType.Number => reader.GetDouble(),
        _ => throw new JsonException($"a number was expected, not {reader.TokenType}"),
    };

    public override void Write(Utf8JsonWriter writer, double value, JsonSerializerOptions options) => writer.WriteNumberValue(value);
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, Converters = [typeof(MissingScoreConverter)])]
[JsonSerializable(typeof(CellResult))]
[JsonSerializable(typeof(RunManifest))]
internal sealed partial class RunReaderContext : JsonSerializerContext;
