using System.Text;
using System.Text.Json;
using EdgeKV.Cli.Commands;
using EdgeKV.Measurements.Subjects;

namespace EdgeKV.App.Tests.Commands;

/// <summary>Runs of <c>ask</c> and <c>info</c> with the bundled model, through the real entry point.</summary>
[Collection(EngineCollection.Name)]
public sealed class AskTests : IDisposable
{
    private const string Question = "What is the height of the tower?";

    private readonly TemporaryFolder _folder = new();
    private readonly string _document;

    public AskTests()
    {
        EngineCollection.Require();

        // Enough to compress, little enough to read in a second or two.
        string text = File.ReadAllText(Places.Document);
        _document = _folder.File("part.txt", Encoding.UTF8.GetBytes(text[..text.IndexOf("The keepers who came", StringComparison.Ordinal)]));
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Ask_CompareInAPipe_ShowsBothAnswersAndTheTableWithoutEscapes()
    {
        string text = await SucceedsAsync("--document", _document, "--question", Question, "--policy", "kvcompose", "--compare", "--max-tokens", "16");

        Assert.Contains($"Q: {Question}", text, StringComparison.Ordinal);
        Assert.Equal(2, text.Split(" 43 ").Length - 1);
        Assert.Contains("full cache:", text, StringComparison.Ordinal);
        Assert.Contains("compact   :", text, StringComparison.Ordinal);
        Assert.Contains("MiB of rows", text, StringComparison.Ordinal);
        Assert.Contains("-80.", text, StringComparison.Ordinal);
        Assert.DoesNotContain("not measured", text, StringComparison.Ordinal);
        Assert.DoesNotContain('\e', text);
        Assert.DoesNotContain('\r', text);
    }

    [Fact]
    public async Task Ask_Json_IsOneObjectWithWhatHappened()
    {
        string text = await SucceedsAsync(
            "--document", _document, "--question", Question, "--question", "What is the year of the first light?", "--score", "repeat", "--ratio", "0.5", "--max-tokens", "12", "--json");
        using JsonDocument json = JsonDocument.Parse(text);
        JsonElement run = json.RootElement;

        Assert.Equal(30, run.GetProperty("rows").GetArrayLength());
        Assert.Equal(2, run.GetProperty("answers").GetArrayLength());
        Assert.Contains("43", run.GetProperty("answers")[0].GetProperty("compact").GetProperty("text").GetString(), StringComparison.Ordinal);
        Assert.Equal(0.5, run.GetProperty("ratioAsked").GetDouble());
        Assert.Equal(0.5, run.GetProperty("ratio").GetDouble(), 0.01);
        long rows = run.GetProperty("rows").EnumerateArray().Sum(layer => layer.EnumerateArray().Sum(head => head.GetInt64()));
        Assert.Equal(rows, run.GetProperty("compact").GetProperty("rows").GetInt64());
        Assert.Equal(90L * run.GetProperty("document").GetProperty("contextTokens").GetInt32(), run.GetProperty("full").GetProperty("rows").GetInt64());
        Assert.Equal(256 * rows, run.GetProperty("compact").GetProperty("rowBytes").GetInt64());
        Assert.True(run.GetProperty("seconds").GetProperty("prefill").GetDouble() > 0);
        Assert.True(run.GetProperty("seconds").GetProperty("score").GetDouble() > 0);
    }

    [Theory]
    [InlineData("repeat")]
    [InlineData("question")]
    [InlineData("window")]
    [InlineData("FILE")]
    public async Task Ask_OtherTaskSets_AreTaken(string taskSet)
    {
        string given = taskSet == "FILE" ? _folder.File("tasks.txt", "Repeat the previous context exactly.\n\nWhat is in it?\n"u8) : taskSet;

        using JsonDocument json = JsonDocument.Parse(
            await SucceedsAsync("--document", _document, "--question", Question, "--policy", "kvcompose", "--task-set", given, "--max-tokens", "4", "--json"));

        Assert.Equal(given, json.RootElement.GetProperty("taskSet").GetString());
        Assert.Equal(0.8, json.RootElement.GetProperty("ratio").GetDouble(), 0.01);
    }

    [Theory]
    [InlineData("f16", 256)]
    [InlineData("q8_0", 136)]
    [InlineData("q4_0", 72)]
    public async Task Ask_CacheTypes_TakeTheirBytes(string type, long bytesPerRow)
    {
        using JsonDocument json = JsonDocument.Parse(
            await SucceedsAsync("--document", _document, "--question", Question, "--policy", "kvcompose", "--cache-type", type, "--rows", "50", "--max-tokens", "4", "--json"));
        JsonElement compact = json.RootElement.GetProperty("compact");

        Assert.Equal(type, json.RootElement.GetProperty("cacheType").GetString());
        Assert.InRange(compact.GetProperty("rows").GetInt64(), 1, 50 * 90);
        Assert.Equal(bytesPerRow * compact.GetProperty("rows").GetInt64(), compact.GetProperty("rowBytes").GetInt64());
    }

    [Theory]
    [InlineData("snapkv:window=16,ratio=0.7", "snapkv", "window", 0.7)]
    [InlineData("ada:scorer=knorm,composed=true", "ada", null, 0.8)]
    [InlineData("global:source=repeat,task-set=question,ratio=0.6", "global", "question", 0.6)]
    [InlineData("layer-budgets:scorer=tova,counts=pyramidkv,counts.window=8", "layer-budgets", "window", 0.8)]
    public async Task Ask_PolicyWithOptions_TakesThem(string given, string policy, string? taskSet, double ratio)
    {
        using var json = JsonDocument.Parse(
            await SucceedsAsync("--document", _document, "--question", Question, "--policy", given, "--max-tokens", "4", "--json"));

        Assert.Equal(policy, json.RootElement.GetProperty("policy").GetString());
        Assert.Equal(taskSet, json.RootElement.GetProperty("taskSet").GetString());
        Assert.Equal(ratio, json.RootElement.GetProperty("ratio").GetDouble(), 0.015);
    }

    [Fact]
    public async Task Ask_FastGen_TakesTokenClassesFromTheModel()
    {
        using var json = JsonDocument.Parse(
            await SucceedsAsync("--document", _document, "--question", Question, "--policy", "fastgen:recovery=0.6", "--max-tokens", "4", "--json"));

        Assert.Equal("fastgen", json.RootElement.GetProperty("policy").GetString());
        Assert.InRange(json.RootElement.GetProperty("ratio").GetDouble(), 0.1, 0.95);
    }

    [Fact]
    public async Task Ask_UnstructuredPolicy_DrawsEveryHead()
    {
        string text = await SucceedsAsync("--document", _document, "--question", Question, "--policy", "kvcompose-unstructured", "--max-tokens", "8");

        Assert.Contains("head 2", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Ask_WhileReading_AnswersAndShowsThePeak()
    {
        // A context that the document does not fit is no bound while rows are dropped.
        using JsonDocument json = JsonDocument.Parse(await SucceedsAsync(
            "--document", Places.Document, "--question", "What is the frequency of the wireless?",
            "--while-reading", "--context", "512", "--max-tokens", "24", "--json"));

        JsonElement run = json.RootElement;
        long compact = run.GetProperty("compact").GetProperty("bufferBytes").GetInt64();
        Assert.InRange(run.GetProperty("peakBytes").GetInt64(), compact, run.GetProperty("full").GetProperty("rowBytes").GetInt64() - 1);
        Assert.Equal(JsonValueKind.Null, run.GetProperty("full").GetProperty("bufferBytes").ValueKind);
        Assert.Equal(0.8, run.GetProperty("ratio").GetDouble(), 0.001);
        Assert.Contains("2187", run.GetProperty("answers")[0].GetProperty("compact").GetProperty("text").GetString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--while-reading")]
    [InlineData("--policy", "snapkv", "--merge")]
    public async Task Ask_Rerotate_AnswersFromEquallyManyRows(params string[] how)
    {
        using JsonDocument json = JsonDocument.Parse(await SucceedsAsync(
            ["--document", _document, "--question", Question, "--rerotate", .. how, "--max-tokens", "4", "--json"]));

        int[] rows = [.. json.RootElement.GetProperty("rows").EnumerateArray().SelectMany(layer => layer.EnumerateArray()).Select(count => count.GetInt32())];
        Assert.All(rows, count => Assert.Equal(rows[0], count));
        Assert.Equal(0.8, json.RootElement.GetProperty("ratio").GetDouble(), 0.015);
    }

    [Fact]
    public async Task Ask_KvMemory_IsKept()
    {
        using JsonDocument json = JsonDocument.Parse(
            await SucceedsAsync("--document", _document, "--question", Question, "--score", "question", "--kv-memory", "8MiB", "--max-tokens", "4", "--json"));

        Assert.InRange(json.RootElement.GetProperty("compact").GetProperty("bufferBytes").GetInt64(), 1, 8 << 20);
        Assert.Equal(JsonValueKind.Null, json.RootElement.GetProperty("ratioAsked").ValueKind);
    }

    [Fact]
    public async Task Ask_SameSeed_GivesTheSameAnswer()
    {
        string[] options = ["--document", _document, "--question", "Tell me about the island.", "--score", "question", "--temperature", "1", "--threads", "1", "--max-tokens", "12", "--json"];

        string first = Answer(await SucceedsAsync([.. options, "--seed", "7"]));
        string second = Answer(await SucceedsAsync([.. options, "--seed", "7"]));

        Assert.Equal(first, second);
        Assert.NotEmpty(first);
    }

    [Fact]
    public async Task Ask_TooLongForTheWindow_SaysHowLongItIsAndMayBe()
    {
        string text = File.ReadAllText(Places.Document);
        string path = _folder.File("long.txt", Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat(text, 6))));

        string error = await FailsAsync(5, "--document", path, "--question", Question);

        Assert.Matches(@"long\.txt is 1\d,\d{3} tokens long and may be 8,\d{3}: the model's window of 8,192", error);
        Assert.Contains("shorten the document", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Ask_TooLongForTheContext_SaysToRaiseIt()
    {
        string error = await FailsAsync(5, "--document", _document, "--question", Question, "--context", "128");

        Assert.Contains("raise --context", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Ask_ContextBeyondTheWindow_IsExitCodeFive()
    {
        string error = await FailsAsync(5, "--document", _document, "--question", Question, "--context", "8193");

        Assert.Contains("give at most 8192", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Ask_KvMemoryThatHoldsNothing_IsExitCodeFive()
    {
        string error = await FailsAsync(5, "--document", _document, "--question", Question, "--score", "question", "--kv-memory", "1KiB");

        Assert.Contains("--kv-memory cannot be met", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(100)]
    [InlineData(1_000_000)]
    public async Task Ask_TruncatedModel_IsExitCodeThree(int bytes)
    {
        using FileStream whole = File.OpenRead(Places.Model);
        byte[] part = new byte[bytes];
        whole.ReadExactly(part);
        string path = _folder.File("cut.gguf", part);

        string error = await FailsAsync(3, "--document", _document, "--question", Question, "--model", path);

        Assert.Contains("cut.gguf", error, StringComparison.Ordinal);
        Assert.Contains("--model", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Ask_TextAsModel_IsExitCodeThree() => await FailsAsync(
        3, "--document", _document, "--question", Question, "--model", _folder.File("text.gguf", "This is no model at all."u8));

    [Theory]
    [InlineData(TinyModel.Gemma3)]
    [InlineData(TinyModel.Mamba)]
    [InlineData(TinyModel.Bloom)]
    public async Task Ask_UnsupportedModel_IsExitCodeThreeAndNamesTheReason(TinyModel model)
    {
        string error = await FailsAsync(3, "--document", _document, "--question", Question, "--model", TinyModels.PathOf(model));

        Assert.Contains(TinyModels.Refused[model], error, StringComparison.Ordinal);
        Assert.Contains("--model", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Ask_ContextThatNoMemoryHolds_IsExitCodeFive()
    {
        string error = await FailsAsync(
            5, "--document", _document, "--question", Question, "--model", TinyModels.PathOf(TinyModel.LlamaLongWindow), "--context", "1073741824");

        Assert.Contains("a smaller --context", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Info_BundledModel_ShowsTokensThatFit()
    {
        using TestTerminal terminal = new();

        int code = await CommandLineApp.RunAsync(
            ["info", Places.Model, "--memory", "64MiB"], terminal.Terminal, TestContext.Current.CancellationToken);

        Assert.Equal(0, code);
        Assert.Contains("22.5 KiB", terminal.OutText, StringComparison.Ordinal);
        Assert.Contains("2,912", terminal.OutText, StringComparison.Ordinal);
        Assert.Contains("8,192", terminal.OutText, StringComparison.Ordinal);
        Assert.DoesNotContain('\e', terminal.OutText);
        Assert.Empty(terminal.ErrorText);
    }

    [Fact]
    public async Task Info_Json_HasTheFiguresOfEveryCacheType()
    {
        using TestTerminal terminal = new();

        int code = await CommandLineApp.RunAsync(["info", Places.Model, "--json"], terminal.Terminal, TestContext.Current.CancellationToken);

        using JsonDocument json = JsonDocument.Parse(terminal.OutText);
        Assert.Equal(0, code);
        Assert.Equal(1L << 30, json.RootElement.GetProperty("memoryBytes").GetInt64());
        Assert.Equal(
            [23040L, 12240, 6480],
            json.RootElement.GetProperty("cacheTypes").EnumerateArray().Select(type => type.GetProperty("bytesPerToken").GetInt64()));
    }

    private static string Answer(string json)
    {
        using JsonDocument run = JsonDocument.Parse(json);
        return run.RootElement.GetProperty("answers")[0].GetProperty("compact").GetProperty("text").GetString()!;
    }

    private static async Task<string> SucceedsAsync(params string[] options)
    {
        using TestTerminal terminal = new();

        int code = await CommandLineApp.RunAsync(["ask", "--model", Places.Model, .. options], terminal.Terminal, TestContext.Current.CancellationToken);

        Assert.Empty(terminal.ErrorText);
        Assert.Equal(0, code);
        return terminal.OutText;
    }

    private static async Task<string> FailsAsync(int expected, params string[] options)
    {
        using TestTerminal terminal = new();
        string[] model = options.Contains("--model") ? [] : ["--model", Places.Model];

        int code = await CommandLineApp.RunAsync(["ask", .. model, .. options], terminal.Terminal, TestContext.Current.CancellationToken);

        Assert.Equal(expected, code);
        Assert.StartsWith("edgekv: ", terminal.ErrorText, StringComparison.Ordinal);
        Assert.Single(terminal.ErrorText.TrimEnd().Split('\n'));
        Assert.Empty(terminal.OutText);
        return terminal.ErrorText;
    }
}
