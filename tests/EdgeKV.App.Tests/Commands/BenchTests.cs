using System.Text.Json;
using EdgeKV.Cli.Commands;
using EdgeKV.Measurements.Subjects;

namespace EdgeKV.App.Tests.Commands;

/// <summary><c>bench</c>, with a tiny model and as little as it can measure.</summary>
[Collection(EngineCollection.Name)]
public sealed class BenchTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Bench_TinyModel_WritesEveryDepthTypeAndRatio()
    {
        EngineCollection.Require();
        string file = Path.Combine(_folder.Path, "run.json");

        (int code, string text, string error) = await RunAsync(
            "--depths", "40,80", "--ratios", "0,0.5", "--cache-types", "f16,Q8_0", "--prefills", "1", "--repeats", "3", "--decode", "2", "--json", file);

        Assert.Equal(0, code);
        Assert.Contains("no profile for this model, so the repeat pass scores its rows", error, StringComparison.Ordinal);
        Assert.Contains("80 tokens, q8_0: prefill", text, StringComparison.Ordinal);
        JsonElement json = JsonDocument.Parse(await File.ReadAllTextAsync(file, TestContext.Current.CancellationToken)).RootElement;
        Assert.Equal("b10068", json.GetProperty("llamaCpp").GetString());
        Assert.Equal(64, json.GetProperty("model").GetProperty("sha256").GetString()!.Length);
        Assert.Equal(
            ["40 f16 0", "40 f16 0.5", "40 q8_0 0", "40 q8_0 0.5", "80 f16 0", "80 f16 0.5", "80 q8_0 0", "80 q8_0 0.5"],
            json.GetProperty("series").EnumerateArray().SelectMany(series => series.GetProperty("cells").EnumerateArray().Select(
                cell => $"{series.GetProperty("depth")} {series.GetProperty("cacheType")} {cell.GetProperty("ratio")}")));
        foreach (JsonElement series in json.GetProperty("series").EnumerateArray())
        {
            long full = series.GetProperty("full").GetProperty("rowBytes").GetInt64();
            Assert.True(series.GetProperty("passTokens").GetInt32() >= series.GetProperty("depth").GetInt32());
            Assert.Equal(
                [full, full / 2], series.GetProperty("cells").EnumerateArray().Select(cell => cell.GetProperty("rowBytes").GetInt64()));
            Assert.All(series.GetProperty("cells").EnumerateArray(), cell =>
            {
                Assert.Equal(3, cell.GetProperty("speedUp").GetProperty("count").GetInt32());
                Assert.True(cell.GetProperty("decode").GetProperty("min").GetDouble() > 0);
            });
        }

        (code, text, _) = await RunAsync(
            "--depths", "40", "--ratios", "0.5", "--cache-types", "f16", "--prefills", "1", "--repeats", "3", "--decode", "2", "--against", file);

        Assert.Equal(0, code);
        Assert.Contains($"Against {file}", text, StringComparison.Ordinal);
        Assert.Contains("figures changed beyond the spread", text, StringComparison.Ordinal);
        Assert.Contains("80 tokens, q8_0, ratio 0.5", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(2, "--depths 0 must be whole numbers from 1", "--depths", "0")]
    [InlineData(2, "--depths 5,5 must be whole numbers from 1", "--depths", "5,5")]
    [InlineData(2, "--ratios 1 must be numbers from 0 to below 1", "--ratios", "1")]
    [InlineData(2, "--cache-types q3 must be of f16, q8_0, q4_0", "--cache-types", "q3")]
    [InlineData(2, "--decode 257 must be a whole number from 1 to 256", "--decode", "257")]
    [InlineData(2, "--ratios and --policy tova:ratio exclude each other", "--policy", "tova:ratio=0.5")]
    [InlineData(6, "no/such/folder/run.json cannot be written: its folder does not exist", "--json", "no/such/folder/run.json")]
    [InlineData(4, "--against none.json cannot be read", "--against", "none.json")]
    [InlineData(4, "document none.txt cannot be read (it does not exist)", "--document", "none.txt")]
    public async Task Bench_BadInput_SaysWhatIsWrongBeforeAnyWork(int expected, string message, params string[] options)
    {
        (int code, string text, string error) = await RunAsync(options);

        Assert.Equal(expected, code);
        Assert.Contains(message, error, StringComparison.Ordinal);
        Assert.Single(error.TrimEnd().Split('\n'));
        Assert.Empty(text);
    }

    [Theory]
    [InlineData(5, "--depths 5000 is too deep", "--depths", "5000")]
    [InlineData(3, "needs a profile, and there is none", "--policy", "global:source=learned")]
    [InlineData(3, "--for global`", "--policy", "global:source=probed")]
    public async Task Bench_WhatTheModelCannotDo_SaysSo(int expected, string message, params string[] options)
    {
        EngineCollection.Require();

        (int code, _, string error) = await RunAsync(options);

        Assert.Equal(expected, code);
        Assert.Contains(message, error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Bench_ShortDocument_SaysHowManyTokensItNeeds()
    {
        EngineCollection.Require();
        string document = _folder.File("short.txt", "Too short."u8);

        (int code, _, string error) = await RunAsync("--depths", "500", "--document", document);

        Assert.Equal(4, code);
        Assert.Contains("and --depths 500 needs 532; give a longer one", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Bench_Interrupted_IsExitCode130()
    {
        EngineCollection.Require();
        using CancellationTokenSource cancelled = new(TimeSpan.FromMilliseconds(500));
        using TestTerminal terminal = new();

        int code = await CommandLineApp.RunAsync(
            ["bench", "--model", TinyModels.PathOf(TinyModel.LlamaGrouped), "--threads", "1", "--depths", "1000", "--repeats", "100000"],
            terminal.Terminal,
            cancelled.Token);

        Assert.Equal(130, code);
        Assert.Contains("interrupted", terminal.ErrorText, StringComparison.Ordinal);
    }

    private static async Task<(int Code, string Text, string Error)> RunAsync(params string[] options)
    {
        using TestTerminal terminal = new();
        int code = await CommandLineApp.RunAsync(
            ["bench", "--model", TinyModels.PathOf(TinyModel.LlamaGrouped), "--threads", "1", .. options],
            terminal.Terminal,
            TestContext.Current.CancellationToken);
        return (code, terminal.OutText, terminal.ErrorText);
    }
}
