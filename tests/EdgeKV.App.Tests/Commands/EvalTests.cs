using System.Text.Json;
using EdgeKV.Cli.Commands;
using EdgeKV.Evaluation;
using EdgeKV.Measurements.Subjects;

namespace EdgeKV.App.Tests.Commands;

/// <summary><c>eval</c>, with a tiny model.</summary>
[Collection(EngineCollection.Name)]
public sealed class EvalTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string _model = TinyModels.PathOf(TinyModel.LlamaGrouped);
    private readonly string _data;

    public EvalTests()
    {
        EngineCollection.Require();
        _data = _folder.File("data.jsonl", System.Text.Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, 3).Select(i => JsonSerializer.Serialize(new
        {
            context = string.Join(' ', Enumerable.Range(0, 120).Select(word => $"word{word * (i + 3) % 17}")),
            question = "Which word?",
            answers = new[] { "word" },
            new_tokens = 3,
        }) + "\n"))));
    }

    private string Output => Path.Combine(_folder.Path, "run");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Eval_PoliciesAndRatios_HasACellForEach()
    {
        using TestTerminal terminal = new();

        int code = await RunAsync(terminal, "--policies", "streaming-llm,snapkv:window=8,kernel=3,knorm", "--ratios", "0,0.5,0.8");

        Assert.Equal(string.Empty, terminal.ErrorText);
        Assert.Equal(0, code);
        IReadOnlyList<CellResult> cells = RunFolder.ReadResults(Output);
        Assert.Equal(3 * (1 + (3 * 2)), cells.Count);
        Assert.Equal(["full", "knorm", "snapkv:window=8,kernel=3", "streaming-llm"], cells.Select(cell => cell.Policy).Distinct().Order(StringComparer.Ordinal));
        Assert.All(cells.Where(cell => cell.Ratio == 0.5), cell => Assert.InRange(cell.RatioAchieved, 0.49, 0.52));
        Assert.All(cells.Where(cell => cell.Ratio > 0), cell => Assert.True(cell.Bytes < cell.FullBytes));
        Assert.All(cells, cell => Assert.Null(cell.Error));
        Assert.Contains("times that", terminal.OutText, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Eval_FastGen_TakesTokenClassesFromTheModel()
    {
        using TestTerminal terminal = new();

        int code = await RunAsync(terminal, "--policies", "fastgen:recovery=0.5", "--ratios", "0.01");

        Assert.Equal(string.Empty, terminal.ErrorText);
        Assert.Equal(0, code);
        CellResult[] cells = [.. RunFolder.ReadResults(Output).Where(cell => cell.Policy != "full")];
        Assert.Equal(3, cells.Length);
        Assert.All(cells, cell => Assert.Null(cell.Error));
        Assert.All(cells, cell => Assert.InRange(cell.RatioAchieved, 0.01, 0.99));
    }

    [Fact]
    public async Task Eval_KilledInTheMiddle_GoesOnToTheSameCells()
    {
        using TestTerminal whole = new();
        Assert.Equal(0, await RunAsync(whole, "--policies", "knorm,tova", "--ratios", "0.5,0.8"));
        string results = Path.Combine(Output, "results.jsonl");
        string[] undisturbed = Facts();

        // Seven cells and a half, and the file that a kill leaves.
        string text = File.ReadAllText(results);
        int seven = Enumerable.Range(0, 7).Aggregate(0, (at, _) => text.IndexOf('\n', at) + 1);
        File.WriteAllText(results, text[..(seven + 30)]);
        File.WriteAllText(Path.Combine(Output, "context.state"), "half a state");
        using TestTerminal resumed = new();
        int code = await RunAsync(resumed, "--policies", "knorm,tova", "--ratios", "0.5,0.8", "--resume");

        Assert.Equal(string.Empty, resumed.ErrorText);
        Assert.Equal(0, code);
        Assert.Equal(undisturbed, Facts());
        Assert.False(File.Exists(Path.Combine(Output, "context.state")));

        string[] Facts() => [.. RunFolder.ReadResults(Output)
            .Select(cell => $"{cell.Id} {cell.Policy} {cell.Ratio} {cell.Bytes} {cell.Score} {cell.Answer}").Order(StringComparer.Ordinal)];
    }

    [Fact]
    public async Task Eval_PoliciesWithScoresOfTheirOwn_AreChargedForTheseAlone()
    {
        using TestTerminal terminal = new();

        Assert.Equal(0, await RunAsync(terminal, "--policies", "knorm,expected-attention,compactor:block=64,tova", "--ratios", "0.5", "--samples", "1"));

        Dictionary<string, double> seconds = RunFolder.ReadResults(Output).ToDictionary(cell => cell.Policy, cell => cell.ScoreSeconds);
        string[] policies = ["knorm", "expected-attention", "compactor:block=64", "tova"];
        Assert.All(policies, policy => Assert.True(seconds[policy] > 0, policy));
        Assert.Equal(policies.Length, policies.Select(policy => seconds[policy]).Distinct().Count());
    }

    [Fact]
    public async Task Eval_Merge_ChangesWhatIsLeftAndIsAnotherRun()
    {
        string text = string.Join(' ', Enumerable.Range(0, 120).Select(word => $"word{word * 5 % 17}"));
        string data = _folder.File("continued.jsonl", System.Text.Encoding.UTF8.GetBytes(JsonSerializer.Serialize(new
        {
            context = text,
            question = "",
            answers = new[] { text },
            metric = MetricNames.Perplexity,
        })));
        string[] options = ["--dataset", data, "--policies", "knorm", "--ratios", "0.8"];
        using TestTerminal terminal = new();
        Assert.Equal(0, await RunAsync(terminal, options));
        Assert.Equal(4, await RunAsync(terminal, [.. options, "--resume", "--merge"]));
        Assert.Contains("another --merge: False there, True now", terminal.ErrorText, StringComparison.Ordinal);
        double removed = Perplexity();
        Directory.Delete(Output, recursive: true);

        Assert.Equal(0, await RunAsync(terminal, [.. options, "--merge"]));

        Assert.True(RunFolder.ReadManifest(Output).Merge);
        Assert.True(double.IsFinite(removed));
        Assert.NotEqual(removed, Perplexity());

        double Perplexity() => RunFolder.ReadResults(Output).Single(cell => cell.Policy == "knorm").Score;
    }

    [Theory]
    [InlineData(4, "none.jsonl: there is no such file or folder", "--dataset", "none.jsonl")]
    [InlineData(2, "--policies snapkv:width=3 is wrong", "--policies", "snapkv:width=3")]
    [InlineData(2, "--policies nothing is wrong", "--policies", "nothing")]
    [InlineData(2, "--ratios 1 is wrong", "--ratios", "0,1")]
    [InlineData(2, "--ratios and --rows exclude each other", "--ratios", "0.5", "--rows", "64")]
    [InlineData(3, "needs a profile", "--policies", "global")]
    public async Task Eval_BadOption_SaysWhatIsWrong(int expected, string message, params string[] options)
    {
        using TestTerminal terminal = new();

        int code = await RunAsync(terminal, options);

        Assert.Contains(message, terminal.ErrorText, StringComparison.Ordinal);
        Assert.Equal(expected, code);
        Assert.False(Directory.Exists(Output));
    }

    [Fact]
    public async Task Eval_ASampleLongerThanTheWindow_NamesItsLine()
    {
        string long_ = _folder.File(
            "long.jsonl",
            System.Text.Encoding.UTF8.GetBytes(JsonSerializer.Serialize(new { context = string.Concat(Enumerable.Repeat("many words ", 60_000)), question = "?", answers = new[] { "a" } })));
        using TestTerminal terminal = new();

        int code = await RunAsync(terminal, "--dataset", long_, "--policies", "knorm");

        Assert.Contains("long.jsonl", terminal.ErrorText, StringComparison.Ordinal);
        Assert.Contains("--skip-long", terminal.ErrorText, StringComparison.Ordinal);
        Assert.Matches(@"context \(\d{3},\d{3}\), question and answer \(\d+\) take", terminal.ErrorText);
        Assert.Equal(5, code);
    }

    [Theory]
    [InlineData("""{"context": "a b c", "question": "b", "answers": [""]}""", "data.jsonl:1: the field \"answers\" holds an empty text")]
    [InlineData("""{"context": "a b c", "answers": "J", "metric": "perplexity"}""", "data.jsonl:1: the continuation in the field \"answers\" is 1 token long")]
    public async Task Eval_DataWithoutAMeaning_IsRefusedBeforeTheRun(string line, string message)
    {
        string data = _folder.File("data.jsonl", System.Text.Encoding.UTF8.GetBytes(line));
        using TestTerminal terminal = new();

        int code = await RunAsync(terminal, "--dataset", data, "--policies", "knorm");

        Assert.Contains(message, terminal.ErrorText, StringComparison.Ordinal);
        Assert.Equal(4, code);
        Assert.False(Directory.Exists(Output));
    }

    [Fact]
    public async Task Eval_PassThatDoesNotFitBehindASample_NamesTheSampleBeforeTheRun()
    {
        string data = _folder.File(
            "data.jsonl", System.Text.Encoding.UTF8.GetBytes(JsonSerializer.Serialize(new { context = new string('7', 4_010), question = "7", answers = "7", new_tokens = 1 })));
        using TestTerminal terminal = new();

        int code = await RunAsync(terminal, "--dataset", data, "--policies", "knorm,global:source=repeat");

        Assert.Matches(@"data\.jsonl:1, policy global: The context of \d+ tokens leaves \d+ of 4096 positions to score it by itself", terminal.ErrorText);
        Assert.Equal(5, code);
        Assert.False(Directory.Exists(Output));
    }

    [Fact]
    public async Task Eval_PerplexityAlone_ShowsItsFigures()
    {
        string data = Continued("one two three four");
        using TestTerminal terminal = new();

        Assert.Equal(0, await RunAsync(terminal, "--dataset", data, "--policies", "knorm", "--ratios", "0.5"));

        double score = RunFolder.ReadResults(Output).Single(cell => cell.Policy == "knorm").Score;
        Assert.Contains("Perplexity, geometric mean of each task", terminal.OutText, StringComparison.Ordinal);
        Assert.Contains(score.ToString("0.00", System.Globalization.CultureInfo.InvariantCulture), terminal.OutText, StringComparison.Ordinal);
        Assert.DoesNotContain("Accuracy", terminal.OutText, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(64, "0.9999", @"data\.jsonl:1, policy knorm: The plan keeps no row of \d+ tokens .*, or leave the sample out\.")]
    [InlineData(int.MaxValue, "0.5", @"data\.jsonl:1: context \(\d+\), question and answer \(2,147,483,\d+\) take")]
    public async Task Eval_ASampleThatCannotBeAnswered_IsNamedBeforeTheRun(int newTokens, string ratio, string message)
    {
        string data = _folder.File(
            "data.jsonl", System.Text.Encoding.UTF8.GetBytes(JsonSerializer.Serialize(new { context = "a b c", question = "b", answers = "c", new_tokens = newTokens })));
        using TestTerminal terminal = new();

        int code = await RunAsync(terminal, "--dataset", data, "--policies", "knorm", "--ratios", ratio);

        Assert.Matches(message, terminal.ErrorText);
        Assert.Equal(5, code);
        Assert.False(Directory.Exists(Output));
    }

    [Fact]
    public async Task Eval_EveryCellOfPoliciesFailed_IsAnErrorWithTheReason()
    {
        using TestTerminal terminal = new();

        int code = await RunAsync(terminal, "--policies", "threshold:limit=1e30,scorer=knorm,recent=0", "--ratios", "0.5", "--samples", "1");

        Assert.Contains("all 1 cells of policies failed; threshold:limit=1e30,scorer=knorm,recent=0 at 0.5: The plan keeps no row", terminal.ErrorText, StringComparison.Ordinal);
        Assert.Contains("threshold:limit=1e30,scorer=knorm,recent=0: 1 cell failed", terminal.OutText, StringComparison.Ordinal);
        Assert.Equal(5, code);
    }

    [Fact]
    public async Task Eval_ResumeWithOtherDataUnderTheSameName_IsRefused()
    {
        string data = Continued("one two three");
        string[] options = ["--dataset", data, "--policies", "knorm", "--ratios", "0.5"];
        using TestTerminal terminal = new();
        Assert.Equal(0, await RunAsync(terminal, options));
        string before = File.ReadAllText(Path.Combine(Output, "results.jsonl"));
        Continued("three two one");

        int code = await RunAsync(terminal, [.. options, "--resume"]);

        Assert.Matches("has a run with .* data: [0-9a-f]{64} there, [0-9a-f]{64} now", terminal.ErrorText);
        Assert.NotEqual(0, code);
        Assert.Equal(before, File.ReadAllText(Path.Combine(Output, "results.jsonl")));
    }

    [Fact]
    public async Task Eval_ResumeFromAnotherFolder_GoesOn()
    {
        string data = Continued("one two three");
        using TestTerminal terminal = new();
        Assert.Equal(0, await RunAsync(terminal, "--dataset", data, "--policies", "knorm", "--ratios", "0.5"));
        string moved = Path.Combine(Directory.CreateDirectory(Path.Combine(_folder.Path, "moved")).FullName, Path.GetFileName(data));
        File.Move(data, moved);

        Assert.Equal(0, await RunAsync(terminal, "--dataset", moved, "--policies", "knorm", "--ratios", "0.5,0.8", "--resume"));

        Assert.Equal(string.Empty, terminal.ErrorText);
        Assert.Equal(3, RunFolder.ReadResults(Output).Count);
    }

    [Fact]
    public async Task Eval_ResumeWithAFileOfAnotherName_SaysWhoseCellsAreThere()
    {
        string data = Continued("one two three");
        using TestTerminal terminal = new();
        Assert.Equal(0, await RunAsync(terminal, "--dataset", data, "--policies", "knorm", "--ratios", "0.5"));
        string renamed = Path.Combine(_folder.Path, "renamed.jsonl");
        File.Move(data, renamed);

        int code = await RunAsync(terminal, "--dataset", renamed, "--policies", "knorm", "--ratios", "0.5", "--resume");

        Assert.Contains("has results of continued, which the data does not have now", terminal.ErrorText);
        Assert.NotEqual(0, code);
        Assert.Equal(2, RunFolder.ReadResults(Output).Count);
    }

    private string Continued(string text) => _folder.File("continued.jsonl", System.Text.Encoding.UTF8.GetBytes(JsonSerializer.Serialize(new
    {
        context = "some words come before these others",
        answers = new[] { text },
        metric = MetricNames.Perplexity,
    })));

    private Task<int> RunAsync(TestTerminal terminal, params string[] options) => CommandLineApp.RunAsync(
        ["eval", "--model", _model, "--out", Output, "--threads", "1", .. options.Contains("--dataset") ? options : ["--dataset", _data, .. options]],
        terminal.Terminal,
        TestContext.Current.CancellationToken);
}
