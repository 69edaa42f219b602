using System.Text;
using System.Text.Json;
using EdgeKV.Cli.Commands;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Profiles;
using EdgeKV.Scoring;

namespace EdgeKV.App.Tests.Commands;

/// <summary>Scores, profiles and thresholds of <c>ask</c> and <c>info</c>, with a tiny model in a folder of its own.</summary>
[Collection(EngineCollection.Name)]
public sealed class AskScoreTests : IDisposable
{
    // Layers, KV heads, and the width of what the layers read.
    private const int Heads = 3 * 2;
    private const int Weights = 3 * 2 * (256 + 1);

    // No score reaches it: only protected rows stay.
    private const string Unreached = "100000";

    private readonly TemporaryFolder _folder = new();
    private readonly string _document;
    private readonly string _model;
    private readonly string _profile;

    public AskScoreTests()
    {
        EngineCollection.Require();
        _document = _folder.File("short.txt", Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(100, 60).Select(i => $"{i * 7919} "))));
        _model = Path.Combine(_folder.Path, "tiny.gguf");
        _profile = Path.Combine(_folder.Path, "tiny.edgekv");
        File.Copy(TinyModels.PathOf(TinyModel.LlamaGrouped), _model);
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Ask_NoProfile_SaysSoAndRunsTheRepeatPass()
    {
        (JsonElement run, string error) = await RunAsync();

        Assert.Equal(
            $"edgekv: there is no profile for this model, so the repeat pass scores its rows; `edgekv calibrate {_model}` makes one.\n", error);
        Assert.Equal("global", run.GetProperty("policy").GetString());
        Assert.Equal("repeat", run.GetProperty("taskSet").GetString());
        Assert.Equal(0.8, run.GetProperty("ratioAsked").GetDouble());
        AssertScores(run, "repeat", pass: true, learned: false);
    }

    [Fact]
    public async Task Ask_ProfileBesideTheModel_NeedsNoPass()
    {
        MakeProfile(_profile);

        (JsonElement run, string error) = await RunAsync();

        Assert.Empty(error);
        Assert.Equal("global", run.GetProperty("policy").GetString());
        Assert.Equal(JsonValueKind.Null, run.GetProperty("taskSet").ValueKind);
        Assert.Equal(0.8, run.GetProperty("ratio").GetDouble(), 0.001);
        AssertScores(run, "learned", pass: false, learned: true);
    }

    [Fact]
    public async Task Ask_ProfileGiven_IsTaken()
    {
        MakeProfile(Path.Combine(_folder.Path, "other", "given.edgekv"));

        (JsonElement run, string error) = await RunAsync("--profile", Path.Combine(_folder.Path, "other", "given.edgekv"));

        Assert.Empty(error);
        AssertScores(run, "learned", pass: false, learned: true);
    }

    [Theory]
    [InlineData("learned", false, true)]
    [InlineData("Repeat", true, false)]
    [InlineData("both", true, true)]
    [InlineData("question", true, false)]
    [InlineData("context", true, false)]
    [InlineData("window", true, false)]
    public async Task Ask_Score_IsTheOneReported(string score, bool pass, bool learned)
    {
        MakeProfile(_profile);

        (JsonElement run, string error) = await RunAsync("--score", score);

        Assert.Empty(error);
        AssertScores(run, score.ToLowerInvariant(), pass, learned);
        Assert.Equal(0.8, run.GetProperty("ratio").GetDouble(), 0.001);
    }

    [Fact]
    public async Task Ask_ProbedScores_TakeTheProfilesCorrection()
    {
        MakeProfile(_profile);
        Assert.Contains(
            $"--score probed needs a table about the model, and the profile {_profile} has none; make it with `edgekv calibrate {_model} --for global`",
            await FailsAsync(3, "--score", "probed"),
            StringComparison.Ordinal);

        AddCorrection();

        (JsonElement run, string error) = await RunAsync("--score", "probed");

        Assert.Empty(error);
        AssertScores(run, "probed", pass: true, learned: true);
        Assert.Equal(0.8, run.GetProperty("ratio").GetDouble(), 0.001);
    }

    [Theory]
    [InlineData("probed")]
    [InlineData("probed", "--recent", "9")]
    [InlineData("probed", "--policy", "global:protected=2")]
    [InlineData("learned", "--score", "learned")]
    [InlineData("learned", "--policy", "global:source=learned")]
    [InlineData("learned", "--policy", "global:weight=value-norm")]
    [InlineData("learned", "--threshold", "0")]
    [InlineData("learned", "--quality", "near")]
    [InlineData("learned", "--while-reading")]
    [InlineData("repeat", "--score", "repeat")]
    public async Task Ask_ProfileWithACorrection_IsTheDefaultWhereItHolds(string expected, params string[] options)
    {
        MakeProfile(_profile);
        AddCorrection();

        (JsonElement run, string error) = await RunAsync(options);

        Assert.Empty(error);
        Assert.Equal(expected, run.GetProperty("scores").GetProperty("name").GetString()!.Split('+')[0]);
    }

    [Fact]
    public async Task Ask_NoRoomForTheProbe_SaysSoAndTakesLearnedScores()
    {
        MakeProfile(_profile);
        AddCorrection();
        (JsonElement run, _) = await RunAsync();
        long tokens = run.GetProperty("document").GetProperty("contextTokens").GetInt64();
        string[] bounded = ["--context", $"{tokens + 40}"];

        (run, string error) = await RunAsync(bounded);

        Assert.Contains("no room for the", error, StringComparison.Ordinal);
        Assert.Contains("ranked by learned scores alone", error, StringComparison.Ordinal);
        AssertScores(run, "learned", pass: false, learned: true);

        // Asked for, it is an error and no other score.
        Assert.Contains("task set would end at", await FailsAsync(5, [.. bounded, "--score", "probed"]), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(null, "texts")]
    [InlineData("repeat", "texts")]
    [InlineData("both", "both")]
    public async Task Ask_TaskSetFile_TakesThePlaceOfTheRepeatedDocument(string? score, string reported)
    {
        MakeProfile(_profile);
        string tasks = _folder.File("tasks.txt", "Say it.\n"u8);
        string[] options = score is null ? [] : ["--score", score];

        (JsonElement run, string error) = await RunAsync([.. options, "--task-set", tasks]);

        Assert.Empty(error);
        Assert.Equal(tasks, run.GetProperty("taskSet").GetString());
        AssertScores(run, reported, pass: true, learned: score == "both");
        Assert.InRange(run.GetProperty("scores").GetProperty("passTokens").GetInt64(), 1, 20);
    }

    [Theory]
    [InlineData("--policy", "kvcompose")]
    [InlineData("--score", "repeat")]
    public async Task Ask_ScoresThatNeedNoProfile_DoNotLookAtIt(string option, string value)
    {
        File.WriteAllText(_profile, "what is this?");

        (JsonElement run, string error) = await RunAsync(option, value);

        Assert.Empty(error);
        Assert.Equal(0, run.GetProperty("scores").GetProperty("weightBytes").GetInt64());
    }

    [Fact]
    public async Task Ask_ProfileOfAnotherModel_IsExitCodeThreeAndNamesIt()
    {
        using (EdgeModel other = EdgeModel.Load(TinyModels.PathOf(TinyModel.Qwen2)))
        {
            RandomProfile.Of(other, 1).Save(_profile);
        }

        string error = await FailsAsync(3);

        Assert.Contains($"The profile {_profile} was made for another model", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Ask_ThresholdAlone_LetsTheRatioFollow()
    {
        MakeProfile(_profile);

        (JsonElement half, _) = await RunAsync("--threshold", "0");
        (JsonElement most, _) = await RunAsync("--threshold", "-5.5");
        (JsonElement none, _) = await RunAsync("--threshold", Unreached);

        Assert.Equal(JsonValueKind.Null, half.GetProperty("ratioAsked").ValueKind);
        Assert.Equal(-5.5, most.GetProperty("threshold").GetDouble());
        Assert.InRange(half.GetProperty("ratio").GetDouble(), 0.2, 0.8);
        Assert.InRange(most.GetProperty("ratio").GetDouble(), 0, half.GetProperty("ratio").GetDouble() - 0.1);

        // The first four and the last four positions.
        Assert.Equal(8 * Heads, Rows(none));
    }

    [Theory]
    [InlineData("--ratio", "0.9")]
    [InlineData("--rows", "20")]
    [InlineData("--kv-memory", "2MiB")]
    public async Task Ask_ThresholdWithABudget_IsCappedByIt(string option, string value)
    {
        MakeProfile(_profile);

        (JsonElement capped, _) = await RunAsync("--threshold", "-1000", option, value);
        (JsonElement budget, _) = await RunAsync(option, value);

        Assert.Equal(Rows(budget), Rows(capped));
        Assert.Equal(budget.GetProperty("ratioAsked").ToString(), capped.GetProperty("ratioAsked").ToString());
        Assert.InRange(Rows(capped), 1, Heads * capped.GetProperty("document").GetProperty("contextTokens").GetInt64() - 1);
    }

    [Fact]
    public async Task Ask_Recent_KeepsTheLastTokensOfAllHeads()
    {
        MakeProfile(_profile);

        (JsonElement run, _) = await RunAsync("--threshold", Unreached, "--recent", "7");

        Assert.Equal((4 + 7) * Heads, Rows(run));
    }

    [Fact]
    public async Task Ask_Quality_IsTheProfilesThreshold()
    {
        MakeProfile(_profile);

        (JsonElement run, _) = await RunAsync("--quality", "SMALL");

        Assert.Equal(1.5, run.GetProperty("threshold").GetDouble());
        Assert.Equal(Rows((await RunAsync("--threshold", "1.5")).Run), Rows(run));
    }

    [Fact]
    public async Task Ask_UnknownQuality_ListsThoseThereAre()
    {
        MakeProfile(_profile);

        string error = await FailsAsync(2, "--quality", "best");

        Assert.Contains($"--quality best is unknown: the profile {_profile} has near, small", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Ask_QualityOfAProfileWithoutThresholds_SaysSo()
    {
        using (EdgeModel model = EdgeModel.Load(_model))
        {
            RandomProfile.Of(model, 1).Save(_profile);
        }

        Assert.Contains("has no thresholds", await FailsAsync(2, "--quality", "near"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Info_Profile_ShowsItOrTheCommandThatMakesOne()
    {
        Assert.Contains($"`edgekv calibrate {_model}` makes one", await InfoAsync(), StringComparison.Ordinal);
        using (JsonDocument json = JsonDocument.Parse(await InfoAsync("--json")))
        {
            Assert.Equal(JsonValueKind.Null, json.RootElement.GetProperty("profile").ValueKind);
        }

        MakeProfile(_profile);

        string text = await InfoAsync();
        Assert.Contains("seed: 1", text, StringComparison.Ordinal);
        Assert.Contains("--quality near", text, StringComparison.Ordinal);
        using (JsonDocument json = JsonDocument.Parse(await InfoAsync("--json")))
        {
            JsonElement profile = json.RootElement.GetProperty("profile");
            Assert.Equal(_profile, profile.GetProperty("path").GetString());
            Assert.Equal("1", profile.GetProperty("provenance").GetProperty("seed").GetString());
            Assert.Equal(1.5, profile.GetProperty("thresholds").GetProperty("small").GetDouble());
        }
    }

    private static long Rows(JsonElement run) => run.GetProperty("compact").GetProperty("rows").GetInt64();

    private static void AssertScores(JsonElement run, string name, bool pass, bool learned)
    {
        JsonElement scores = run.GetProperty("scores");
        Assert.Equal(name, scores.GetProperty("name").GetString());
        Assert.Equal(pass, scores.GetProperty("passTokens").GetInt64() > 0);
        Assert.Equal(pass ? JsonValueKind.Number : JsonValueKind.Null, scores.GetProperty("passSeconds").ValueKind);
        Assert.Equal(learned ? Weights * sizeof(float) : 0, scores.GetProperty("weightBytes").GetInt64());
        Assert.Equal(learned, scores.GetProperty("weightShare").GetDouble() > 0);
    }

    private void AddCorrection() => ScoreProfile.Load(_profile).With(new ProfileTable(
        "global", [new ProfileArray("coefficients", [3, 2, 3], Enumerable.Repeat(0.5f, 18).ToArray())], new Dictionary<string, string> { ["question"] = ProbeTaskSet.Text })).Save(_profile);

    private void MakeProfile(string path)
    {
        using EdgeModel model = EdgeModel.Load(_model);
        RandomProfile.Of(model, 1, new Dictionary<string, double> { ["near"] = -3, ["small"] = 1.5 }).Save(path);
    }

    private async Task<(JsonElement Run, string Error)> RunAsync(params string[] options)
    {
        using TestTerminal terminal = new();

        int code = await CommandLineApp.RunAsync([.. Ask(), "--json", .. options], terminal.Terminal, TestContext.Current.CancellationToken);

        Assert.True(code == 0, terminal.ErrorText);
        using JsonDocument json = JsonDocument.Parse(terminal.OutText);
        return (json.RootElement.Clone(), terminal.ErrorText);
    }

    private async Task<string> FailsAsync(int expected, params string[] options)
    {
        using TestTerminal terminal = new();

        int code = await CommandLineApp.RunAsync([.. Ask(), .. options], terminal.Terminal, TestContext.Current.CancellationToken);

        Assert.Equal(expected, code);
        Assert.Single(terminal.ErrorText.TrimEnd().Split('\n'));
        return terminal.ErrorText;
    }

    private async Task<string> InfoAsync(params string[] options)
    {
        using TestTerminal terminal = new();

        int code = await CommandLineApp.RunAsync(["info", _model, .. options], terminal.Terminal, TestContext.Current.CancellationToken);

        Assert.True(code == 0, terminal.ErrorText);
        return terminal.OutText;
    }

    private string[] Ask() => ["ask", "--model", _model, "--document", _document, "--question", "Which?", "--max-tokens", "2", "--threads", "1"];
}
