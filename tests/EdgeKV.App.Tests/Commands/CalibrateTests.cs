using EdgeKV.Cli.Commands;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Profiles;

namespace EdgeKV.App.Tests.Commands;

/// <summary><c>calibrate</c>, with a tiny model in a folder of its own.</summary>
[Collection(EngineCollection.Name)]
public sealed class CalibrateTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string _model;

    public CalibrateTests()
    {
        EngineCollection.Require();
        _model = Path.Combine(_folder.Path, "tiny.gguf");
        File.Copy(TinyModels.PathOf(TinyModel.LlamaGrouped), _model);
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Calibrate_ATextOfTheUsers_WritesTheProfileThatAskTakes()
    {
        // One that is damaged is no reason not to make another.
        _folder.File("tiny.edgekv", "EDGEKV-PROFILE 1\n{"u8);
        using TestTerminal calibrating = new();
        int code = await CommandLineApp.RunAsync(
            ["calibrate", _model, "--text", Places.Document, "--tokens", "1000", "--threads", "1"],
            calibrating.Terminal,
            TestContext.Current.CancellationToken);

        Assert.Equal(string.Empty, calibrating.ErrorText);
        Assert.Equal(0, code);
        Assert.Contains("R2 ", calibrating.OutText, StringComparison.Ordinal);
        Assert.Contains("--quality high: KL of the next token at most", calibrating.OutText, StringComparison.Ordinal);
        Assert.Equal(["tiny.edgekv", "tiny.gguf"], Directory.GetFiles(_folder.Path).Select(Path.GetFileName).Order());

        string document = _folder.File("short.txt", "Twelve plain words are enough for a model that knows nothing anyway."u8);
        foreach ((string scores, string[] given) in ((string, string[])[])[("probed", []), ("learned", ["--quality", "low"])])
        {
            using TestTerminal asking = new();
            string[] ask = ["ask", "--model", _model, "--document", document, "--question", "What?", "--max-tokens", "2", "--threads", "1", .. given];
            Assert.Equal(0, await CommandLineApp.RunAsync(ask, asking.Terminal, TestContext.Current.CancellationToken));
            Assert.Contains($"Scores: {scores};", asking.OutText, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Calibrate_ForTables_JoinsTheProfileThatAskTakes()
    {
        string profile = Path.Combine(_folder.Path, "tiny.edgekv");
        using (EdgeModel model = EdgeModel.Load(_model))
        {
            RandomProfile.Of(model, 1).Save(profile);
        }

        ScoreProfile before = ScoreProfile.Load(profile);
        string document = _folder.File("short.txt", "Twelve plain words are enough for a model that knows nothing anyway."u8);
        string[] ask =
        [
            "ask", "--model", _model, "--document", document, "--question", "What?", "--policy", "ada:scorer=q-filters", "--max-tokens", "2", "--threads", "1",
        ];
        using TestTerminal lacking = new();
        Assert.Equal(3, await CommandLineApp.RunAsync(ask, lacking.Terminal, TestContext.Current.CancellationToken));
        Assert.Contains("needs a table about the model", lacking.ErrorText, StringComparison.Ordinal);
        Assert.Contains($"edgekv calibrate {_model} --for q-filters", lacking.ErrorText, StringComparison.Ordinal);

        using TestTerminal calibrating = new();
        int code = await CommandLineApp.RunAsync(
            ["calibrate", _model, "--for", "Q-Filters,duo-attention", "--text", Places.Document, "--threads", "1"],
            calibrating.Terminal,
            TestContext.Current.CancellationToken);

        Assert.Equal(string.Empty, calibrating.ErrorText);
        Assert.Equal(0, code);
        Assert.Contains("table q-filters:", calibrating.OutText, StringComparison.Ordinal);
        ScoreProfile after = ScoreProfile.Load(profile);
        Assert.Equal(before.Weights.ToArray(), after.Weights.ToArray());
        Assert.Equal(["duo-attention", "q-filters"], after.Tables.Keys);
        Assert.Equal(["short.txt", "tiny.edgekv", "tiny.gguf"], Directory.GetFiles(_folder.Path).Select(Path.GetFileName).Order());

        using TestTerminal asking = new();
        Assert.Equal(0, await CommandLineApp.RunAsync(ask, asking.Terminal, TestContext.Current.CancellationToken));
        Assert.Equal(string.Empty, asking.ErrorText);
    }

    [Fact]
    public async Task Calibrate_ANewMap_SaysThatTheTableAboutTheOldOneIsGone()
    {
        string profile = Path.Combine(_folder.Path, "tiny.edgekv");
        Dictionary<string, string> provenance = [];
        using (EdgeModel model = EdgeModel.Load(_model))
        {
            RandomProfile.Of(model, 1).With(
                new ProfileTable("global", [new ProfileArray("coefficients", [3, 2, 3], new float[18])], provenance),
                new ProfileTable("duo-attention", [new ProfileArray("gates", [3, 2], new float[6])], provenance)).Save(profile);
        }

        using TestTerminal calibrating = new();
        int code = await CommandLineApp.RunAsync(
            ["calibrate", _model, "--for", "learned", "--text", Places.Document, "--tokens", "1000", "--threads", "1"],
            calibrating.Terminal,
            TestContext.Current.CancellationToken);

        Assert.Equal(0, code);
        Assert.Equal(["duo-attention"], ScoreProfile.Load(profile).Tables.Keys);
        Assert.Contains($"{profile}: the table global was about the map before and is gone; --for global makes one for this map.", calibrating.OutText, StringComparison.Ordinal);
        Assert.DoesNotContain("table duo-attention", calibrating.OutText, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Calibrate_ForATableToADamagedProfile_SaysSo()
    {
        _folder.File("tiny.edgekv", "EDGEKV-PROFILE 3\n"u8);
        using TestTerminal terminal = new();

        int code = await CommandLineApp.RunAsync(
            ["calibrate", _model, "--for", "q-filters", "--text", Places.Document], terminal.Terminal, TestContext.Current.CancellationToken);

        Assert.NotEqual(0, code);
        Assert.Contains("tiny.edgekv is not an EdgeKV profile", terminal.ErrorText, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(2, "--for snapkv is unknown; choose from learned, compresskv, duo-attention, lu-kv, q-filters, razor-attention, global, all", "--for", "q-filters,snapkv")]
    [InlineData(4, "--text none.txt does not exist", "--text", "none.txt")]
    [InlineData(2, "must be a whole number from 1000", "--tokens", "10")]
    [InlineData(6, "is a folder; name the file to write", "--output", ".")]
    public async Task Calibrate_BadOption_SaysWhatIsWrong(int expected, string message, params string[] options)
    {
        using TestTerminal terminal = new();

        int code = await CommandLineApp.RunAsync(["calibrate", _model, .. options], terminal.Terminal, TestContext.Current.CancellationToken);

        Assert.Equal(expected, code);
        Assert.Contains(message, terminal.ErrorText, StringComparison.Ordinal);
        Assert.Equal(["tiny.gguf"], Directory.GetFiles(_folder.Path).Select(Path.GetFileName));
    }

    [Fact]
    public async Task Calibrate_OutputThatCannotBeWritten_IsFoundAtOnce()
    {
        using TestTerminal terminal = new();
        string output = Path.Combine(_model, "inside", "a.edgekv");

        int code = await CommandLineApp.RunAsync(
            ["calibrate", _model, "--text", Places.Document, "--output", output], terminal.Terminal, TestContext.Current.CancellationToken);

        Assert.Equal(6, code);
        Assert.Contains($"{output} cannot be written", terminal.ErrorText, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Calibrate_ProfileThatAnotherIsAt_IsRefusedAndLeftAlone()
    {
        string output = Path.Combine(_folder.Path, "tiny.edgekv");
        string[] calibrate = ["calibrate", _model, "--text", Places.Document, "--tokens", "1000", "--threads", "1"];
        using (new FileStream(output + ".lock", FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None))
        {
            using TestTerminal second = new();

            int code = await CommandLineApp.RunAsync(calibrate, second.Terminal, TestContext.Current.CancellationToken);

            Assert.Equal(6, code);
            Assert.Contains($"{output} is being calibrated by another process", second.ErrorText, StringComparison.Ordinal);
        }

        // What a killed process leaves behind hinders nobody.
        Assert.Equal(["tiny.edgekv.lock", "tiny.gguf"], Directory.GetFiles(_folder.Path).Select(Path.GetFileName).Order());
        using TestTerminal next = new();
        Assert.Equal(0, await CommandLineApp.RunAsync(calibrate, next.Terminal, TestContext.Current.CancellationToken));
        Assert.Equal(["tiny.edgekv", "tiny.gguf"], Directory.GetFiles(_folder.Path).Select(Path.GetFileName).Order());
    }

    [Fact]
    public async Task Calibrate_OneShortText_SaysThatItIsTooFew()
    {
        using TestTerminal terminal = new();
        string text = _folder.File("one.txt", System.Text.Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat("Some plain words. ", 30))));

        int code = await CommandLineApp.RunAsync(["calibrate", _model, "--text", text], terminal.Terminal, TestContext.Current.CancellationToken);

        Assert.Equal(4, code);
        Assert.Contains("too short to learn from", terminal.ErrorText, StringComparison.Ordinal);
        Assert.Equal(["one.txt", "tiny.gguf"], Directory.GetFiles(_folder.Path).Select(Path.GetFileName).Order());
    }

    [Fact]
    public async Task Calibrate_TextThatIsNone_NamesIt()
    {
        using TestTerminal terminal = new();
        string picture = _folder.File("picture.png", new byte[1000]);

        int code = await CommandLineApp.RunAsync(["calibrate", _model, "--text", picture], terminal.Terminal, TestContext.Current.CancellationToken);

        Assert.Equal(4, code);
        Assert.Contains($"The text {picture} is no text", terminal.ErrorText, StringComparison.Ordinal);
    }
}
