using System.Text;
using System.Text.Json;
using EdgeKV.Cli.Commands;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;

namespace EdgeKV.App.Tests.Commands;

/// <summary>What model, options and lengths rule out is said before anything is read, and a failure does not take figures with it.</summary>
[Collection(EngineCollection.Name)]
public sealed class BeforeReadingTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string _narrow = TinyModels.PathOf(TinyModel.LlamaNarrowHead);
    private readonly string _grouped = TinyModels.PathOf(TinyModel.LlamaGrouped);

    public BeforeReadingTests() => EngineCollection.Require();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Bench_CacheTypeThatTheModelCannotHave_IsRefusedWithoutMeasuringTheOthers()
    {
        string file = Path.Combine(_folder.Path, "run.json");

        (int code, string text, string error) = await RunAsync("bench", "--model", _narrow, "--depths", "40", "--cache-types", "f16,q8_0", "--json", file);

        Assert.Contains("keys of 48 numbers and values of 48, which cannot be kept in q8_0: it takes multiples of 32. Use f16.", error, StringComparison.Ordinal);
        Assert.Equal(3, code);
        Assert.Empty(text);
        Assert.False(File.Exists(file));
    }

    [Fact]
    public async Task Bench_ASeriesFails_KeepsTheOthersAndNamesIt()
    {
        string file = Path.Combine(_folder.Path, "run.json");
        string model = Path.Combine(_folder.Path, "model.gguf");
        int broken;
        using (EdgeModel whole = EdgeModel.Load(_grouped))
        {
            broken = Assert.Single(whole.Tokenize("8"));
        }

        // Whoever reads the token computes no numbers any more.
        new GgufEditor(_grouped).FillRow("token_embd.weight", broken, float.NaN).Write(model);
        string document = _folder.File("document.txt", Encoding.UTF8.GetBytes(Words(100) + new string('8', 150)));

        (int code, string text, string error) = await RunAsync(
            "bench", "--model", model, "--threads", "1", "--depths", "200,40,201", "--cache-types", "f16", "--ratios", "0.5", "--policy", "knorm",
            "--prefills", "1", "--passes", "0", "--repeats", "3", "--decode", "2", "--document", document, "--json", file);

        Assert.Equal(3, code);
        Assert.Contains("40 tokens, f16", text, StringComparison.Ordinal);
        Assert.Contains("200 tokens, f16 was not measured: The model computes no numbers", error, StringComparison.Ordinal);
        Assert.Contains("201 tokens, f16 was not measured", error, StringComparison.Ordinal);
        Assert.EndsWith("edgekv: 2 of 3 series failed; what was measured is kept.", error.TrimEnd(), StringComparison.Ordinal);
        JsonElement json = JsonDocument.Parse(await File.ReadAllTextAsync(file, TestContext.Current.CancellationToken)).RootElement;
        Assert.Equal(40, Assert.Single(json.GetProperty("series").EnumerateArray()).GetProperty("depth").GetInt32());
        Assert.Equal([200, 201], json.GetProperty("failures").EnumerateArray().Select(failure => failure.GetProperty("depth").GetInt32()));
    }

    [Theory]
    [InlineData("snapkv needs a context that is longer than its window: 64 tokens are not more than 64", "--policy", "snapkv", "--depths", "200,64")]
    [InlineData("The plan keeps no row of 40 tokens", "--policy", "knorm", "--depths", "200,40", "--ratios", "0.99")]
    public async Task Bench_ADepthThatThePolicyCannotPlan_IsRefusedBeforeAnythingIsMeasured(string message, params string[] options)
    {
        (int code, string text, string error) = await RunAsync(
            ["bench", "--model", _grouped, "--threads", "1", "--cache-types", "f16", "--prefills", "1", "--passes", "0", "--repeats", "3", "--decode", "2", .. options]);

        Assert.Contains(message, error, StringComparison.Ordinal);
        Assert.Equal(5, code);
        Assert.Empty(text);
    }

    [Fact]
    public async Task Info_CacheTypesThatTheModelCannotHave_HaveNoSizes()
    {
        (int code, string text, _) = await RunAsync("info", _narrow);

        Assert.Equal(0, code);
        Assert.Contains("  f16 ", text, StringComparison.Ordinal);
        Assert.DoesNotContain("  q8_0 ", text, StringComparison.Ordinal);
        Assert.DoesNotContain("  q4_0 ", text, StringComparison.Ordinal);
        Assert.Contains("This model cannot have a cache of q8_0 or q4_0", text, StringComparison.Ordinal);
        using JsonDocument json = JsonDocument.Parse((await RunAsync("info", _narrow, "--json")).Text);
        Assert.Equal("f16", Assert.Single(json.RootElement.GetProperty("cacheTypes").EnumerateArray()).GetProperty("cacheType").GetString());
    }

    [Theory]
    [InlineData(2, "Positions close up where all KV heads keep equally many rows, and those of policy kvcompose do not", "--policy", "kvcompose", "--rerotate")]
    [InlineData(2, "those of policy global do not", "--rerotate")]
    [InlineData(2, "those of policy pyramidkv do not", "--policy", "pyramidkv:window=2,beta=2", "--rerotate")]
    [InlineData(5, "snapkv needs a context that is longer than its window", "--policy", "snapkv:window=4000")]
    [InlineData(5, "The plan keeps no row of", "--policy", "knorm", "--ratio", "0.9999")]
    [InlineData(5, "The plan keeps no row of", "--policy", "kvcompose:row-multiple=2147483647")]
    [InlineData(5, "Blocks of 600 tokens are fed whole, and the context's batches hold 512. Take smaller blocks", "--policy", "compactor:block=600")]
    [InlineData(2, "A sharpness is 0 to 1000", "--policy", "capkv:sharpness=1e300")]
    [InlineData(2, "Epsilon is 0 to 1000", "--policy", "expected-attention:epsilon=1e308")]
    [InlineData(2, "A blend is 0 to 1000", "--policy", "compactor:blend=1e300")]
    [InlineData(5, "are not more than 4000", "--policy", "ada:scorer=snapkv,scorer.window=4000")]
    [InlineData(5, "--kv-memory cannot be met: A budget of 1024 bytes is too small", "--policy", "knorm", "--kv-memory", "1KiB")]
    public async Task Ask_WhatThePolicyCannotDo_IsSaidBeforeTheDocumentIsRead(int expected, string message, params string[] options)
    {
        // With --compare there are answers from the full cache as soon as the document has been read.
        (int code, string text, string error) = await AskAsync(_grouped, Words(700), "Q?", ["--compare", "--max-tokens", "4", .. options]);

        Assert.Contains(message, error, StringComparison.Ordinal);
        Assert.Equal(expected, code);
        Assert.Empty(text);
    }

    [Theory]
    [InlineData("kvcompose:task-set=repeat", "positions to score it by itself; 32 are the least")]
    [InlineData("kvzip", "To repeat the context of ")]
    [InlineData("kvzip:chunk=64", "in chunks of 64 takes")]
    public async Task Ask_PassThatDoesNotFitBehindTheDocument_IsSaidBeforeTheDocumentIsRead(string policy, string message)
    {
        (int code, string text, string error) = await AskAsync(
            _grouped, Words(150), "Q?", "--compare", "--max-tokens", "4", "--context", "220", "--policy", policy);

        Assert.Contains(message, error, StringComparison.Ordinal);
        Assert.Equal(5, code);
        Assert.Empty(text);
    }

    [Theory]
    [InlineData("0.5")]
    [InlineData("0")]
    public async Task Eval_CacheTypeThatTheModelCannotHave_MakesNoRun(string ratio)
    {
        string data = _folder.File("data.jsonl", """{"context": "a b c d", "question": "b", "answers": "c"}"""u8);
        string output = Path.Combine(_folder.Path, "run");

        (int code, _, string error) = await RunAsync("eval", "--model", _narrow, "--dataset", data, "--policies", "knorm", "--ratios", ratio, "--cache-type", "q8_0", "--out", output);

        Assert.Contains("cannot be kept in q8_0", error, StringComparison.Ordinal);
        Assert.Equal(3, code);
        Assert.False(Directory.Exists(output));
    }

    [Theory]
    [InlineData("bench --model {tiny} --depths 100000000 --policy knorm", "--depths 100000000 is too deep: the model's window of 4,096 also holds the 32 tokens of a turn; give at most 4064")]
    [InlineData("eval --model {tiny} --synthetic --lengths 1024,100000000 --policies knorm --out {folder}/run", "--lengths 100000000 is longer than the model's window of 4,096; give at most 4096")]
    [InlineData("eval --model {tiny} --synthetic --lengths 100000000 --skip-long --policies knorm --out {folder}/run", "--lengths 100000000 is longer than the model's window")]
    public async Task Length_BeyondTheWindow_IsRefusedBeforeATextIsMadeThatLong(string line, string message)
    {
        (int code, string text, string error) = await RunAsync(
            [.. line.Split(' ').Select(word => word.Replace("{tiny}", _grouped, StringComparison.Ordinal).Replace("{folder}", _folder.Path, StringComparison.Ordinal))]);

        Assert.Contains(message, error, StringComparison.Ordinal);
        Assert.Equal(5, code);
        Assert.Empty(text);
        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
    }

    [Fact]
    public async Task Device_WithoutAGpu_IsAWrongOptionWithARemedyForUsers()
    {
        Assert.SkipWhen(LLama.Native.NativeApi.llama_supports_gpu_offload(), "There is a GPU here.");
        string document = _folder.File("text.txt", "The code of the tin chest is 48213.\n"u8);

        (int code, string text, string error) = await RunAsync(["ask", "--document", document, "--question", "Q?", "--model", _grouped, "--device", "CUDA0"]);

        Assert.Equal(
            "edgekv: --device CUDA0: there is no GPU that this program can use; leave the option out, or install the GPU's driver and a program that was built for it.",
            error.Trim());
        Assert.Equal(2, code);
        Assert.Empty(text);
    }

    [Fact]
    public async Task GpuLayers_AutoWithoutAGpu_SaysThatNoneIsThere()
    {
        Assert.SkipWhen(LLama.Native.NativeApi.llama_supports_gpu_offload(), "There is a GPU here.");
        string document = _folder.File("text.txt", "The code of the tin chest is 48213.\n"u8);

        (int code, _, string error) = await RunAsync(
            ["ask", "--document", document, "--question", "Q?", "--model", _grouped, "--gpu-layers", "auto", "--ratio", "0.5", "--max-tokens", "1"]);

        Assert.Contains("No layer is on a GPU", error, StringComparison.Ordinal);
        Assert.Equal(0, code);
    }

    [Theory]
    [InlineData("ask --document {text} --question Q?")]
    [InlineData("calibrate --text {document} --output {folder}/new.edgekv")]
    [InlineData("eval --synthetic --policies knorm --out {folder}/run")]
    public async Task GpuLayers_WithoutAGpu_AreAWrongOptionWithARemedyForUsers(string line)
    {
        Assert.SkipWhen(LLama.Native.NativeApi.llama_supports_gpu_offload(), "There is a GPU here.");
        string document = _folder.File("text.txt", "The code of the tin chest is 48213.\n"u8);

        (int code, string text, string error) = await RunAsync(
            [.. line.Split(' ').Select(word => word.Replace("{text}", document, StringComparison.Ordinal).Replace("{document}", Places.Document, StringComparison.Ordinal).Replace("{folder}", _folder.Path, StringComparison.Ordinal)), "--model", _grouped, "--gpu-layers", "7"]);

        Assert.Equal(
            "edgekv: --gpu-layers 7: there is no GPU that this program can use; leave the option out, or install the GPU's driver and a program that was built for it.",
            error.Trim());
        Assert.Equal(2, code);
        Assert.Empty(text);
    }

    [Theory]
    [InlineData(10, 5000, 4, "the question is 5,0", "leaves no place for the document: the model's window of 4,096 also holds the answer (up to 4); shorten the question")]
    [InlineData(3000, 2000, 4, "document ", " and the question (2,0", "are too long together", "so that both may have 4,092; shorten one of them")]
    [InlineData(5000, 10, 4, "document ", " tokens long and may be ", "also holds the question (")]
    [InlineData(10, 10, 5000, "--max-tokens 5000 leaves no place for a document and a question: the model's window of 4,096 also holds the answer")]
    public async Task Ask_LongerThanTheWindow_BlamesWhatIsTooLong(int document, int question, int maxTokens, params string[] parts)
    {
        (int code, string text, string error) = await AskAsync(_grouped, Words(document), Words(question), "--policy", "knorm", "--max-tokens", $"{maxTokens}");

        Assert.StartsWith($"edgekv: {parts[0]}", error, StringComparison.Ordinal);
        Assert.All(parts, part => Assert.Contains(part, error, StringComparison.Ordinal));
        Assert.NotEqual(0, code);
        Assert.Empty(text);
    }

    // The tiny models have a token for each of these bytes.
    private static string Words(int tokens) => new('7', tokens);

    private Task<(int Code, string Text, string Error)> AskAsync(string model, string document, string question, params string[] options) => RunAsync(
        ["ask", "--model", model, "--threads", "1", "--document", _folder.File("document.txt", Encoding.UTF8.GetBytes(document)), "--question", question, .. options]);

    private static async Task<(int Code, string Text, string Error)> RunAsync(params string[] arguments)
    {
        using TestTerminal terminal = new();
        int code = await CommandLineApp.RunAsync(arguments, terminal.Terminal, TestContext.Current.CancellationToken);
        return (code, terminal.OutText, terminal.ErrorText);
    }
}
