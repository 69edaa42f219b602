using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using EdgeKV.Cli.Asking;
using EdgeKV.Cli.Sizing;
using EdgeKV.Models;

namespace EdgeKV.Cli.Rendering;

/// <summary>Writes one JSON object and a newline.</summary>
internal static class JsonOutput
{
    // Text goes to a file or a program, never into HTML: letters stay letters.
    private static readonly OutputContext Context = new(new JsonSerializerOptions(OutputContext.Default.Options)
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });

    public static void Write(TextWriter writer, AskReport report) => Write(writer, report, Context.AskReport);

    public static void Write(TextWriter writer, ModelSizing sizing) => Write(writer, sizing, Context.ModelSizing);

    public static void Write(TextWriter writer, PolicyList policies) => Write(writer, policies, Context.PolicyList);

    public static void Write(TextWriter writer, BackendReport report) => Write(writer, report, Context.BackendReport);

    private static void Write<T>(TextWriter writer, T value, JsonTypeInfo<T> type)
    {
        writer.WriteLine(JsonSerializer.Serialize(value, type));
        writer.Flush();
    }
}

[JsonSourceGenerationOptions(
    WriteIndented = true,
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UseStringEnumConverter = true,
    NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals)]
[JsonSerializable(typeof(AskReport))]
[JsonSerializable(typeof(ModelSizing))]
[JsonSerializable(typeof(PolicyList))]
[JsonSerializable(typeof(BackendReport))]
internal sealed partial class OutputContext : JsonSerializerContext;
