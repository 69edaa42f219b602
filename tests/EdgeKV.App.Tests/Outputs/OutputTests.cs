using EdgeKV.App.Tests.Commands;
using EdgeKV.Cli.Commands;
using EdgeKV.Measurements.Subjects;

namespace EdgeKV.App.Tests.Outputs;

/// <summary>No output replaces an input or somebody's file, and a full disk destroys nothing.</summary>
[Collection(EngineCollection.Name)]
public sealed class OutputTests : IDisposable
{
    private const string Notes = "My only notes.\n";

    private static readonly string[] Quick = ["--threads", "1", "--depths", "40", "--ratios", "0.5", "--cache-types", "f16", "--prefills", "1", "--passes", "0", "--repeats", "1", "--warm-up", "0", "--decode", "1"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("its own name")]
    [InlineData("another spelling")]
    [InlineData("a symbolic link")]
    [InlineData("a hard link")]
    public async Task Calibrate_OutputThatIsTheModel_IsRefused(string name)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Links need rights on Windows.");
        string model = Model();
        byte[] before = await File.ReadAllBytesAsync(model, TestContext.Current.CancellationToken);
        string output = name switch
        {
            "its own name" => model,
            "another spelling" => Path.Combine(_folder.Path, ".", "..", Path.GetFileName(_folder.Path), "tiny.gguf"),
            _ => Path.Combine(_folder.Path, "link.edgekv"),
        };
        if (name == "a symbolic link")
        {
            File.CreateSymbolicLink(output, "tiny.gguf");
        }
        else if (name == "a hard link")
        {
            await Programs.RunAsync("ln", model, output);
        }

        foreach (string[] force in (string[][])[[], ["--force"]])
        {
            string error = await RefusedAsync(["calibrate", model, "-t", Text(), "-o", output, .. force]);
            Assert.Contains("is also the model, which would be lost", error, StringComparison.Ordinal);
        }

        Assert.Equal(before, await File.ReadAllBytesAsync(model, TestContext.Current.CancellationToken));
    }

    [Theory]
    [InlineData("calibrate {model} -t {text} -o {notes}", "is not an EdgeKV profile, and would be lost; name another file with --output, or replace it with --force")]
    [InlineData("bench -m {model} --json {notes}", "is not a bench's JSON")]
    [InlineData("report {run} -o {notes}", "is not a file of an EdgeKV report")]
    public async Task Output_AFileOfAnotherKind_IsRefusedAndLeftAlone(string line, string expected)
    {
        string notes = _folder.File("notes.txt", System.Text.Encoding.UTF8.GetBytes(Notes));

        Assert.Contains(expected, await RefusedAsync(Words(line, notes)), StringComparison.Ordinal);
        Assert.Equal(Notes, await File.ReadAllTextAsync(notes, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Report_ATableOfAnotherKind_IsRefusedBeforeThePageIsWritten()
    {
        string notes = _folder.File("page-tasks.csv", System.Text.Encoding.UTF8.GetBytes(Notes));
        string page = Path.Combine(_folder.Path, "page.html");

        Assert.Contains(notes, await RefusedAsync(["report", Run(), "-o", page]), StringComparison.Ordinal);
        Assert.Equal(Notes, await File.ReadAllTextAsync(notes, TestContext.Current.CancellationToken));
        Assert.False(File.Exists(page));
    }

    [Theory]
    [InlineData("results.jsonl")]
    [InlineData("run.json")]
    public async Task Report_OutputThatIsOfTheRun_IsRefusedEvenByForce(string name)
    {
        string run = Run();
        string file = Path.Combine(run, name);
        byte[] before = await File.ReadAllBytesAsync(file, TestContext.Current.CancellationToken);

        Assert.Contains("is also a file of the run", await RefusedAsync(["report", run, "-o", file, "--force"]), StringComparison.Ordinal);
        Assert.Equal(before, await File.ReadAllBytesAsync(file, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Report_ForceOverAnotherKindAndThenItsOwn_IsWritten()
    {
        Assert.SkipUnless(File.Exists(Path.Combine(Places.Checkout, "artifacts", "charts", "charts.js")), "artifacts/charts/charts.js is not there: ./build.sh charts fetches it.");
        string page = _folder.File("notes.txt", System.Text.Encoding.UTF8.GetBytes(Notes));
        string run = Run();

        Assert.Equal(0, (await RunAsync(["report", run, "-o", page, "--force"])).Code);
        Assert.Contains("EdgeKV evaluation", await File.ReadAllTextAsync(page, TestContext.Current.CancellationToken), StringComparison.Ordinal);
        Assert.Equal(0, (await RunAsync(["report", run, "-o", page])).Code);
    }

    [Fact]
    public async Task Bench_JsonOverWhatItComparesWith_IsRefused()
    {
        EngineCollection.Require();
        string earlier = Path.Combine(_folder.Path, "earlier.json");
        Assert.Equal(0, (await RunAsync(["bench", Model(), "--json", earlier, .. Quick])).Code);
        string before = await File.ReadAllTextAsync(earlier, TestContext.Current.CancellationToken);

        string error = await RefusedAsync(["bench", Model(), "--json", earlier, "--against", earlier, "--force", .. Quick]);

        Assert.Contains("is also --against, which would be lost", error, StringComparison.Ordinal);
        Assert.Equal(before, await File.ReadAllTextAsync(earlier, TestContext.Current.CancellationToken));
        Assert.Equal(0, (await RunAsync(["bench", Model(), "--json", earlier, .. Quick])).Code);
    }

    [Fact]
    public async Task Bench_JsonThroughALinkToAnEmptyFile_IsWrittenToTheFile()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Links need rights on Windows.");
        EngineCollection.Require();
        string file = _folder.File("file.json", ""u8);
        string link = Path.Combine(_folder.Path, "link.json");
        File.CreateSymbolicLink(link, "file.json");

        (int code, _, string error) = await RunAsync(["bench", Model(), "--json", link, .. Quick]);

        Assert.True(code == 0, error);
        Assert.Contains("llamaCpp", await File.ReadAllTextAsync(file, TestContext.Current.CancellationToken), StringComparison.Ordinal);
        Assert.Equal("file.json", new FileInfo(link).LinkTarget);
    }

    [Theory]
    [InlineData("results.jsonl")]
    [InlineData("run.json")]
    [InlineData("context.state")]
    [InlineData("report.html")]
    [InlineData("report-tasks.csv")]
    [InlineData("run.lock")]
    public async Task Eval_AFolderWithSomebodysFile_IsRefusedAndLeftAlone(string name)
    {
        string notes = _folder.File(Path.Combine("run", name), System.Text.Encoding.UTF8.GetBytes(Notes));
        string data = _folder.File("data.jsonl", "{\"context\": \"a b c\", \"question\": \"?\", \"answers\": [\"a\"]}\n"u8);
        EngineCollection.Require();

        await RefusedAsync(["eval", "-m", Model(), "-d", data, "-o", Path.GetDirectoryName(notes)!, "--policies", "knorm", "--ratios", "0.5"]);
        Assert.Equal(Notes, await File.ReadAllTextAsync(notes, TestContext.Current.CancellationToken));
        Assert.Single(Directory.GetFiles(Path.GetDirectoryName(notes)!));
    }

    [Fact]
    public async Task Calibrate_ALockOfAnotherKind_IsRefusedAndLeftAlone()
    {
        string notes = _folder.File("tiny.edgekv.lock", System.Text.Encoding.UTF8.GetBytes(Notes));

        await RefusedAsync(["calibrate", Model(), "-t", Text()]);
        Assert.Equal(Notes, await File.ReadAllTextAsync(notes, TestContext.Current.CancellationToken));
    }

    [Theory]
    [InlineData("report {run} -o {notes}", "is not a regular file")]
    [InlineData("calibrate {model} -t {text} -o {notes}", "is not a regular file")]
    public async Task Output_ADeviceNode_StaysOne(string line, string expected)
    {
        string node = await Programs.FullDeviceAsync(_folder.Path);

        Assert.Contains(expected, await RefusedAsync(Words(line, node)), StringComparison.Ordinal);
        Assert.Equal("character special file", await Programs.RunAsync("stat", "-c", "%F", node));
    }

    [Fact]
    public async Task Bench_JsonToAFullDevice_IsWrittenToItAndFails()
    {
        EngineCollection.Require();
        string node = await Programs.FullDeviceAsync(_folder.Path);

        (int code, _, string error) = await RunAsync(["bench", "-m", Model(), "--json", node, .. Quick]);

        Assert.Equal(6, code);
        Assert.Contains($"{node} cannot be written", error, StringComparison.Ordinal);
        Assert.Equal("character special file", await Programs.RunAsync("stat", "-c", "%F", node));
    }

    [Fact]
    public async Task Bench_FullDisk_KeepsTheEarlierFile()
    {
        EngineCollection.Require();
        using SmallDisk disk = await SmallDisk.MountAsync(_folder.Path);
        string earlier = Path.Combine(disk.Path, "base.json");
        const string Text = "{\"edgeKV\": \"0\", \"llamaCpp\": \"b0\", \"series\": []}";
        await File.WriteAllTextAsync(earlier, Text, TestContext.Current.CancellationToken);
        disk.Fill();

        (int code, _, string error) = await RunAsync(["bench", "-m", Model(), "--json", earlier, .. Quick]);

        Assert.Equal(6, code);
        Assert.Contains("base.json cannot be written: No space left on device", error, StringComparison.Ordinal);
        Assert.Equal(Text, await File.ReadAllTextAsync(earlier, TestContext.Current.CancellationToken));
        Assert.Equal(["base.json", "fill"], disk.Names);
    }

    [Fact]
    public async Task Calibrate_FullDisk_LeavesNothing()
    {
        EngineCollection.Require();
        using SmallDisk disk = await SmallDisk.MountAsync(_folder.Path);
        disk.Fill();

        Assert.Equal(6, (await RunAsync(["calibrate", Model(), "-t", Places.Document, "--tokens", "1000", "--threads", "1", "-o", Path.Combine(disk.Path, "a.edgekv")])).Code);
        Assert.Equal(["fill"], disk.Names);
    }

    [Fact]
    public async Task Eval_FullDisk_LeavesNothing()
    {
        EngineCollection.Require();
        using SmallDisk disk = await SmallDisk.MountAsync(_folder.Path);
        string data = _folder.File("data.jsonl", "{\"context\": \"a b c\", \"question\": \"?\", \"answers\": [\"a\"]}\n"u8);
        disk.Fill();

        Assert.Equal(6, (await RunAsync(["eval", "-m", Model(), "-d", data, "-o", Path.Combine(disk.Path, "run"), "--policies", "knorm", "--ratios", "0.5"])).Code);
        Assert.Equal(["fill"], disk.Names);
    }

    private string Model()
    {
        string model = Path.Combine(_folder.Path, "tiny.gguf");
        File.Copy(TinyModels.PathOf(TinyModel.LlamaGrouped), model, overwrite: true);
        return model;
    }

    private string Text() => _folder.File("text.txt", "Twelve plain words are enough here.\n"u8);

    private string Run()
    {
        foreach (string file in Directory.GetFiles(Path.Combine(Places.Checkout, "tests", "EdgeKV.Evaluation.Tests", "Reports", "small-run")))
        {
            _folder.File(Path.Combine("run", Path.GetFileName(file)), File.ReadAllBytes(file));
        }

        return Path.Combine(_folder.Path, "run");
    }

    private string[] Words(string line, string notes) => [.. line.Split(' ').Select(word => word switch
    {
        "{model}" => Model(),
        "{text}" => Text(),
        "{run}" => Run(),
        "{notes}" => notes,
        _ => word,
    })];

    private static async Task<string> RefusedAsync(string[] args)
    {
        (int code, string text, string error) = await RunAsync(args);
        Assert.Equal(6, code);
        Assert.Empty(text);
        Assert.Single(error.TrimEnd().Split('\n'));
        return error;
    }

    private static async Task<(int Code, string Text, string Error)> RunAsync(string[] args)
    {
        using TestTerminal terminal = new();
        int code = await CommandLineApp.RunAsync(args, terminal.Terminal, TestContext.Current.CancellationToken);
        return (code, terminal.OutText, terminal.ErrorText);
    }
}
