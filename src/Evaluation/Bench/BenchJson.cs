using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using EdgeKV.Files;
using EdgeKV.Models;

namespace EdgeKV.Evaluation;

/// <summary>Reports of <c>bench</c> as JSON.</summary>
public static class BenchJson
{
    // Text goes to a file or a program, never into HTML: letters stay letters.
    private static readonly BenchContext Context = new(new JsonSerializerOptions(BenchContext.Default.Options)
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });

    /// <summary>The report as one JSON object, without a newline at its end.</summary>
    /// <param name="report">The report.</param>
    public static string Write(BenchReport report) => JsonSerializer.Serialize(report, Context.BenchReport);

    /// <summary>Whether a file is a report of a bench, of whatever version.</summary>
    /// <param name="path">The file.</param>
    /// <returns>False too where it cannot be read.</returns>
    public static bool IsReport(string path)
    {
        try
        {
            using FileStream file = InputFile.Open(path);
            using JsonDocument document = JsonDocument.Parse(file);
            return document.RootElement is { ValueKind: JsonValueKind.Object } report
                && report.TryGetProperty("edgeKV", out _) && report.TryGetProperty("llamaCpp", out _) && report.TryGetProperty("series", out _);
        }
        catch (Exception e) when (e is JsonException or IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>Reads what <see cref="Write"/> wrote.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="EdgeKVException">The file cannot be read, is no report, one of another version, or has a figure that nobody measures; the message names it.</exception>
    public static BenchReport Read(string path)
    {
        try
        {
            BenchReport report = JsonSerializer.Deserialize(InputFile.ReadAll(path), Context.BenchReport)
                ?? throw new EdgeKVException($"{path} is no report of a bench: it is null.");
            return report.Version != BenchReport.CurrentVersion
                ? throw new EdgeKVException($"{path} is a report of version {report.Version}; this EdgeKV reads version {BenchReport.CurrentVersion}.")
                : BenchFigures.Wrong(report) is { } wrong ? throw new EdgeKVException($"{path}: {wrong}.") : report;
        }
        catch (JsonException e)
        {
            throw new EdgeKVException($"{path} is no report of a bench, as --json writes it: {JsonFault.Of(e)}.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new EdgeKVException($"{path} cannot be read: {e.Message}", e);
        }
    }
}

[JsonSourceGenerationOptions(
    WriteIndented = true,
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    AllowDuplicateProperties = false,
    RespectNullableAnnotations = true,
    Converters = [typeof(CacheTypeConverter)])]
[JsonSerializable(typeof(BenchReport))]
internal sealed partial class BenchContext : JsonSerializerContext;

/// <summary>Cache types by the names that GGUF files have for them.</summary>
internal sealed class CacheTypeConverter : JsonConverter<KvCacheType>
{
    public override KvCacheType Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.GetString() is { } name && Enum.TryParse(name, ignoreCase: true, out KvCacheType type) && Enum.IsDefined(type)
            ? type
            : throw new JsonException("A cache type is f32, f16, q8_0 or q4_0.");

    public override void Write(Utf8JsonWriter writer, KvCacheType value, JsonSerializerOptions options) =>
        writer.WriteStringValue(value.ToString().ToLowerInvariant());
}
