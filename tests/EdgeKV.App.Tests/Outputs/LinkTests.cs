using EdgeKV.App.Tests.Commands;
using EdgeKV.Cli.Commands;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Profiles;

namespace EdgeKV.App.Tests.Outputs;

/// <summary>Outputs are compared with inputs by what their paths lead to, and their names are tried before any work.</summary>
[Collection(EngineCollection.Name)]
public sealed class LinkTests : IDisposable
{
    private const string Sample = "{\"context\": \"a b c d\", \"question\": \"b\", \"answers\": [\"a\"], \"new_tokens\": 1}\n";

    private readonly TemporaryFolder _folder = new();
    private readonly string _model = TinyModels.PathOf(TinyModel.LlamaGrouped);

    public LinkTests() => Assert.SkipWhen(OperatingSystem.IsWindows(), "Links need rights on Windows.");

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("the folder through a link")]
    [InlineData("a link in the folder")]
    [InlineData("a hard link in the folder")]
    [InlineData("a folder behind a link in the folder")]
    public async Task Calibrate_OutputThatIsReadWithAFolder_IsRefused(string how)
    {
        string text = string.Concat(Enumerable.Repeat("The keepers who came later knew the tower well.\n", 300));
        string inside = _folder.File("texts/a.md", System.Text.Encoding.UTF8.GetBytes(text));
        string outside = _folder.File("other/b.md", System.Text.Encoding.UTF8.GetBytes(text));
        string texts = Path.Combine(_folder.Path, "texts");
        string output = outside;
        switch (how)
        {
            case "the folder through a link":
                texts = Path.Combine(_folder.Path, "link");
                File.CreateSymbolicLink(texts, "texts");
                output = inside;
                break;
            case "a link in the folder":
                File.CreateSymbolicLink(Path.Combine(texts, "c.md"), "../other/b.md");
                break;
            case "a hard link in the folder":
                await Programs.RunAsync("ln", outside, Path.Combine(texts, "c.md"));
                break;
            default:
                File.CreateSymbolicLink(Path.Combine(texts, "more"), "../other");
                break;
        }

        (int code, string error) = await RunAsync("calibrate", _model, "-t", texts, "--tokens", "1000", "--threads", "1", "--force", "-o", output);

        Assert.Contains($"{output} is a file in --text {texts}, which would be lost", error, StringComparison.Ordinal);
        Assert.Equal(6, code);
        Assert.Equal(text, await File.ReadAllTextAsync(output, TestContext.Current.CancellationToken));
    }

    [Theory]
    [InlineData("link", "data/out")]
    [InlineData("data", "away")]
    [InlineData("link", "away/out")]
    public async Task Eval_OutputInItsDataByALink_IsRefused(string data, string output)
    {
        _folder.File("data/sub/a.jsonl", System.Text.Encoding.UTF8.GetBytes(Sample));
        File.CreateSymbolicLink(Path.Combine(_folder.Path, "link"), "data");
        File.CreateSymbolicLink(Path.Combine(_folder.Path, "away"), "data/sub");

        (int code, string error) = await RunAsync(
            "eval", _model, "-d", Path.Combine(_folder.Path, data), "-p", "knorm", "--ratios", "0.5", "--threads", "1", "-o", Path.Combine(_folder.Path, output));

        Assert.Contains("where the run's own files would be read as data", error, StringComparison.Ordinal);
        Assert.Equal(6, code);
        Assert.Equal(["a.jsonl"], Directory.GetFiles(Path.Combine(_folder.Path, "data"), "*", SearchOption.AllDirectories).Select(Path.GetFileName));
    }

    [Fact]
    public async Task Eval_ResultsThatAreAFileOfItsData_AreRefused()
    {
        string data = _folder.File("data/a.jsonl", System.Text.Encoding.UTF8.GetBytes(Sample));
        string run = Path.GetDirectoryName(_folder.File("run/run.json", "{}"u8))!;
        string results = Path.Combine(run, "results.jsonl");
        await Programs.RunAsync("ln", data, results);

        (int code, string error) = await RunAsync(
            "eval", _model, "-d", Path.GetDirectoryName(data)!, "-p", "knorm", "--ratios", "0.5", "--threads", "1", "--resume", "-o", run);

        Assert.Contains($"{results} is also a file in {Path.GetDirectoryName(data)}, which would be lost", error, StringComparison.Ordinal);
        Assert.Equal(6, code);
        Assert.Equal(Sample, await File.ReadAllTextAsync(data, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Calibrate_OutputThatIsALinkToNothing_IsWrittenWhereItLeads()
    {
        EngineCollection.Require();
        string link = Path.Combine(_folder.Path, "link.edgekv");
        File.CreateSymbolicLink(link, "made.edgekv");

        (int code, string error) = await RunAsync("calibrate", _model, "-t", Places.Document, "--tokens", "1000", "--threads", "1", "-o", link);

        Assert.True(code == 0, error);
        Assert.Equal("made.edgekv", new FileInfo(link).LinkTarget);
        Assert.True(ScoreProfile.IsProfile(Path.Combine(_folder.Path, "made.edgekv")));
    }

    // The model is none: what is wrong with the output's name is said before it is loaded.
    [Theory]
    [InlineData("calibrate {model} -t {text} -o {long}")]
    [InlineData("bench {model} --json {long}")]
    [InlineData("eval {model} -d {data} -p knorm -o {long}")]
    [InlineData("eval {model} -d {data} -p knorm -o {long}/run")]
    public async Task Output_NameThatIsTooLong_IsRefusedAtOnce(string line)
    {
        string text = _folder.File("text.txt", "Twelve plain words are enough here.\n"u8);
        string data = _folder.File("data.jsonl", System.Text.Encoding.UTF8.GetBytes(Sample));
        string model = _folder.File("any.gguf", "GGUF"u8);
        string name = Path.Combine(_folder.Path, new string('x', 256));

        (int code, string error) = await RunAsync([.. line.Split(' ').Select(word => word
            .Replace("{model}", model, StringComparison.Ordinal)
            .Replace("{text}", text, StringComparison.Ordinal)
            .Replace("{data}", data, StringComparison.Ordinal)
            .Replace("{long}", name, StringComparison.Ordinal))]);

        Assert.Contains("its name is too long", error, StringComparison.Ordinal);
        Assert.Equal(6, code);
        Assert.Equal(["any.gguf", "data.jsonl", "text.txt"], Directory.GetFileSystemEntries(_folder.Path).Select(Path.GetFileName).Order());
    }

    [Fact]
    public async Task Output_InAFolderThatTakesNoFiles_SaysSoInEnglish()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Only Linux has /proc.");

        (int code, string error) = await RunAsync("calibrate", _model, "-t", Places.Document, "-o", "/proc/x.edgekv");

        Assert.Contains("/proc/x.edgekv", error, StringComparison.Ordinal);
        Assert.DoesNotContain("Could not find", error, StringComparison.Ordinal);
        Assert.Equal(6, code);
    }

    private static async Task<(int Code, string Error)> RunAsync(params string[] args)
    {
        using TestTerminal terminal = new();
        int code = await CommandLineApp.RunAsync(args, terminal.Terminal, TestContext.Current.CancellationToken);
        return (code, terminal.ErrorText);
    }
}
