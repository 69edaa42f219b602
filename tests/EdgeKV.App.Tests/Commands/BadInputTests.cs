using EdgeKV.Cli.Commands;

namespace EdgeKV.App.Tests.Commands;

/// <summary>Documents, task sets and models that are not what they should be: found before any model is loaded.</summary>
public sealed class BadInputTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Ask_MissingDocument_IsExitCodeFour() =>
        await FailsAsync(4, "cannot be read (it does not exist); check the path given to --document", "--document", Path.Combine(_folder.Path, "none.txt"));

    [Fact]
    public async Task Ask_FolderAsDocument_IsExitCodeFour() => await FailsAsync(4, "is a folder", "--document", _folder.Path);

    [Fact]
    public async Task Ask_EmptyPath_IsExitCodeTwo() => await FailsAsync(2, "--document is empty", "--document", "");

    [Fact]
    public async Task Ask_EmptyDocument_IsExitCodeFour() => await FailsAsync(4, "is empty", "--document", _folder.File("empty.txt", []));

    [Fact]
    public async Task Ask_EmptyStandardInput_IsExitCodeFour() => await FailsAsync(4, "document standard input is empty", "--document", "-");

    [Fact]
    public async Task Ask_InvalidUtf8_IsExitCodeFour() =>
        await FailsAsync(4, "is not UTF-8 text (byte 1)", "--document", _folder.File("x.txt", [(byte)'a', 0xC3, (byte)'b']));

    [Fact]
    public async Task Ask_PathWithLineBreak_StaysOneLine() => await FailsAsync(4, "does not exist", "--document", "no\nsuch\nfile");

    [Fact]
    public async Task Ask_MissingTaskSet_IsExitCodeFour() => await FailsAsync(
        4, "task set contxt cannot be read (it does not exist); check the path given to --task-set", "--document", Document(), "--task-set", "contxt");

    [Fact]
    public async Task Ask_EmptyTaskSet_IsExitCodeFour() =>
        await FailsAsync(4, "is empty", "--document", Document(), "--task-set", _folder.File("tasks.txt", "\n\n"u8));

    [Theory]
    [InlineData("--score", "learned")]
    [InlineData("--score", "BOTH")]
    [InlineData("--quality", "near")]
    public async Task Ask_LearnedScoresWithoutAProfile_IsExitCodeThree(string option, string value)
    {
        string model = _folder.File("any.gguf", "GGUF"u8);

        await FailsAsync(
            3,
            $"needs a profile, and there is none for this model; make one with `edgekv calibrate {model}` or give --profile FILE",
            "--document",
            Document(),
            "--model",
            model,
            option,
            value);
    }

    [Fact]
    public async Task Ask_DamagedProfileBesideTheModel_IsExitCodeThreeAndNamesIt() => await FailsAsync(
        3,
        $"{_folder.File("any.edgekv", "EDGEKV-PROFILE 1\n{"u8)} is damaged",
        "--document",
        Document(),
        "--model",
        _folder.File("any.gguf", "GGUF"u8));

    [Fact]
    public async Task Ask_MissingProfile_IsExitCodeThree() => await FailsAsync(
        3, "none.edgekv cannot be read", "--document", Document(), "--model", _folder.File("any.gguf", "GGUF"u8), "--profile", "none.edgekv");

    [Theory]
    [InlineData("threshold:limit=-6")]
    [InlineData("ada:scorer=global")]
    public async Task Ask_ProfileForAWrapperOfLearnedScores_IsRead(string policy) => await FailsAsync(
        3, "none.edgekv cannot be read", "--document", Document(), "--model", _folder.File("any.gguf", "GGUF"u8), "--policy", policy, "--profile", "none.edgekv");

    [Theory]
    [InlineData("--policy", "kvcompose")]
    [InlineData("--score", "repeat")]
    public async Task Ask_WhileReadingByScoresOfAPass_IsExitCodeTwo(string option, string value) => await FailsAsync(
        2, "--while-reading ranks by learned scores, which need no second look", "--document", Document(), option, value, "--while-reading");

    [Fact]
    public async Task Ask_WhileReadingByWeightedScores_IsExitCodeTwo() => await FailsAsync(
        2, "before all rows are there to be weighed", "--document", Document(), "--policy", "global:weight=value-norm", "--while-reading");

    [Fact]
    public async Task Ask_ProfileThatIsNone_IsExitCodeThree() => await FailsAsync(
        3,
        "is not an EdgeKV profile",
        "--document",
        Document(),
        "--model",
        _folder.File("any.gguf", "GGUF"u8),
        "--profile",
        _folder.File("any.edgekv", "what is this?"u8));

    [Fact]
    public async Task Ask_MissingModel_IsExitCodeThree() => await FailsAsync(
        3, "does not exist", "--document", Document(), "--model", Path.Combine(_folder.Path, "none.gguf"));

    [Fact]
    public async Task Ask_FolderAsModel_IsExitCodeThree() => await FailsAsync(3, "is a folder", "--document", Document(), "--model", _folder.Path);

    [Fact]
    public async Task Info_MissingModel_IsExitCodeThree()
    {
        using TestTerminal terminal = new();

        int code = await CommandLineApp.RunAsync(["info", "none.gguf"], terminal.Terminal, TestContext.Current.CancellationToken);

        Assert.Equal(3, code);
        Assert.Contains("none.gguf", terminal.ErrorText, StringComparison.Ordinal);
    }

    private string Document() => _folder.File("document.txt", "The code of the tin chest is 48213.\n"u8);

    private static async Task FailsAsync(int code, string expected, params string[] options)
    {
        using TestTerminal terminal = new();

        int actual = await CommandLineApp.RunAsync(
            ["ask", "--question", "Q?", .. options], terminal.Terminal, TestContext.Current.CancellationToken);

        Assert.Equal(code, actual);
        Assert.Contains(expected, terminal.ErrorText, StringComparison.Ordinal);
        Assert.StartsWith("edgekv: ", terminal.ErrorText, StringComparison.Ordinal);
        Assert.Single(terminal.ErrorText.TrimEnd().Split('\n'));
        Assert.Empty(terminal.OutText);
    }
}
