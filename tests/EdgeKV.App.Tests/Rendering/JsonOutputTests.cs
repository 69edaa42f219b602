using System.Text.Json;
using EdgeKV.Cli.Asking;
using EdgeKV.Cli.Rendering;

namespace EdgeKV.App.Tests.Rendering;

public class JsonOutputTests
{
    [Fact]
    public void Write_Report_HasTheseKeysInThisOrder()
    {
        using JsonDocument json = JsonDocument.Parse(Written(SampleReport.Composite));

        Assert.Equal(
            [
                "model.path", "model.description", "model.layers", "model.heads", "model.kvHeads", "model.window",
                "document.source", "document.bytes", "document.contextTokens",
                "policy", "taskSet",
                "scores.name", "scores.passTokens", "scores.passSeconds", "scores.weightBytes", "scores.weightShare",
                "cacheType", "threshold", "ratioAsked", "ratio",
                "full.rows", "full.rowBytes", "full.bufferBytes",
                "compact.rows", "compact.rowBytes", "compact.bufferBytes",
                "peakBytes",
                "rows[][]",
                "seconds.load", "seconds.prefill", "seconds.score", "seconds.plan", "seconds.apply",
                "tokensPerSecond.prefill", "tokensPerSecond.before", "tokensPerSecond.after",
                "answers[].question",
                "answers[].full.text", "answers[].full.tokens", "answers[].full.promptSeconds", "answers[].full.decodedTokens", "answers[].full.decodeSeconds",
                "answers[].compact.text", "answers[].compact.tokens", "answers[].compact.promptSeconds", "answers[].compact.decodedTokens", "answers[].compact.decodeSeconds",
                "isRagged", "rerotated", "mergedRows", "mergeSeconds",
            ],
            Keys(json.RootElement, "").Distinct());
    }

    [Fact]
    public void Write_Report_KeepsLettersAndValues()
    {
        string text = Written(SampleReport.Composite);
        using JsonDocument json = JsonDocument.Parse(text);

        Assert.Contains("<Ärger>", text, StringComparison.Ordinal);
        Assert.Equal("A \"keeper\" & <Ärger>.", json.RootElement.GetProperty("answers")[0].GetProperty("full").GetProperty("text").GetString());
        Assert.Equal(0.8, json.RootElement.GetProperty("ratio").GetDouble());
        Assert.Equal(300, json.RootElement.GetProperty("rows")[0][1].GetInt32());
    }

    [Fact]
    public void Write_NothingMeasured_IsNull()
    {
        using JsonDocument json = JsonDocument.Parse(Written(SampleReport.Ragged));

        Assert.Equal(JsonValueKind.Null, json.RootElement.GetProperty("tokensPerSecond").GetProperty("before").ValueKind);
        Assert.Equal(JsonValueKind.Null, json.RootElement.GetProperty("answers")[0].GetProperty("full").ValueKind);
        Assert.Equal(JsonValueKind.Null, json.RootElement.GetProperty("ratioAsked").ValueKind);
        Assert.Equal(JsonValueKind.Null, json.RootElement.GetProperty("peakBytes").ValueKind);
        Assert.True(json.RootElement.GetProperty("isRagged").GetBoolean());
    }

    [Fact]
    public void Write_WhileReading_HasThePeakAndNoFullBuffers()
    {
        using JsonDocument json = JsonDocument.Parse(Written(SampleReport.WhileReading));

        Assert.Equal(3 << 19, json.RootElement.GetProperty("peakBytes").GetInt64());
        Assert.Equal(JsonValueKind.Null, json.RootElement.GetProperty("full").GetProperty("bufferBytes").ValueKind);
    }

    private static string Written(AskReport report)
    {
        using StringWriter writer = new();
        JsonOutput.Write(writer, report);
        return writer.ToString();
    }

    private static IEnumerable<string> Keys(JsonElement element, string path) => element.ValueKind switch
    {
        JsonValueKind.Object => element.EnumerateObject()
            .SelectMany(property => Keys(property.Value, path.Length == 0 ? property.Name : $"{path}.{property.Name}")),
        JsonValueKind.Array => element.EnumerateArray().SelectMany(item => Keys(item, path + "[]")),
        _ => [path],
    };
}
