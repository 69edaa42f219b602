using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace EdgeKV.Evaluation;

/// <summary>How runs are written: camel case, letters as they are, a score that is none as null.</summary>
internal static class RunJson
{
    /// <summary>A line for each object.</summary>
    public static RunContext Lines { get; } = new(new JsonSerializerOptions(RunContext.Default.Options)
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });

    /// <summary>For people.</summary>
    public static RunContext Indented { get; } = new(new JsonSerializerOptions(Lines.Options) { WriteIndented = true });
}

/// <summary>JSON null for a number that is none.</summary>
internal sealed class MissingNumberConverter : JsonConverter<double>
{
    public override bool HandleNull => true;

    public override double Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.TokenType switch
    {
        JsonTokenType.Null => double.NaN,
        JsonTokenType.Number => reader.GetDouble(),
        _ => throw new JsonException("a number was expected"),
    };

    public override void Write(Utf8JsonWriter writer, double value, JsonSerializerOptions options)
    {
        if (double.IsFinite(value))
        {
            writer.WriteNumberValue(value);
        }
        else
        {
            writer.WriteNullValue();
        }
    }
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    AllowDuplicateProperties = false,
    RespectNullableAnnotations = true,
    Converters = [typeof(MissingNumberConverter)])]
[JsonSerializable(typeof(CellResult))]
[JsonSerializable(typeof(RunManifest))]
internal sealed partial class RunContext : JsonSerializerContext;
