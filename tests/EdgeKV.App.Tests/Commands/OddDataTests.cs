using System.Text;
using EdgeKV.App.Tests.Outputs;
using EdgeKV.Cli.Commands;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Profiles;

namespace EdgeKV.App.Tests.Commands;

/// <summary>Data and texts that are there twice, show nothing, have no end or are damaged, and models that compute no numbers.</summary>
[Collection(EngineCollection.Name)]
public sealed class OddDataTests : IDisposable
{
    private const string Sample = "{\"context\": \"a b c d\", \"question\": \"b\", \"answers\": [\"a\"], \"new_tokens\": 1}\n";

    private readonly TemporaryFolder _folder = new();
    private readonly string _model = TinyModels.PathOf(TinyModel.LlamaGrouped);

    public OddDataTests() => EngineCollection.Require();

    private string Output => Path.Combine(_folder.Path, "run");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Eval_TwoFilesWithSamplesOfOneName_IsRefused()
    {
        string first = _folder.File("a/x.jsonl", Encoding.UTF8.GetBytes(Sample));
        string second = _folder.File("b/x.jsonl", Encoding.UTF8.GetBytes(Sample.Replace("a b", "c d", StringComparison.Ordinal)));

        Assert.Contains($"{second}:1: x x has the sample \"0\" already ({first}:1)", await FailsAsync(4, [.. Eval(), "-d", first, "-d", second]), StringComparison.Ordinal);
        Assert.False(Directory.Exists(Output));
    }

    [Theory]
    [InlineData("knorm,knorm:ratio=0.3", "ratio")]
    [InlineData("knorm:rows=9", "rows")]
    public async Task Eval_ABudgetInAPolicy_IsRefused(string policies, string option) => Assert.Contains(
        $"--policies knorm:{option} ",
        await FailsAsync(2, ["eval", _model, "-o", Output, "-d", Data(), "-p", policies]),
        StringComparison.Ordinal);

    [Fact]
    public async Task Eval_PipeInAFolderOfData_IsLeftOut()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Named pipes are made so on Linux only.");
        _folder.File("data/a.jsonl", Encoding.UTF8.GetBytes(Sample));
        await Programs.RunAsync("mkfifo", Path.Combine(_folder.Path, "data", "b.jsonl"));

        // Whoever reads the pipe waits for ever.
        Task<string> run = FailsAsync(0, [.. Eval(), "-d", Path.Combine(_folder.Path, "data")]);
        Assert.Empty(await run.WaitAsync(TimeSpan.FromMinutes(2), TestContext.Current.CancellationToken));
    }

    [Theory]
    [InlineData("haystack", "larger than 1,023 MiB")]
    [InlineData("run", "larger than 1,023 MiB")]
    public async Task Input_LargerThanAnyText_IsRefusedByItsName(string what, string expected)
    {
        string file = _folder.File(what == "run" ? "run/run.json" : "hay.txt", []);
        using (FileStream sparse = File.OpenWrite(file))
        {
            sparse.SetLength(100L << 30);
        }

        string error = await FailsAsync(4, what == "run" ? ["report", Output] : [.. Eval(), "--synthetic", "--haystack", file]);

        Assert.Contains(expected, error, StringComparison.Ordinal);
        Assert.Contains(file, error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Report_ResultsLargerThanAnyText_AreRefusedByTheirName()
    {
        Assert.Empty(await FailsAsync(0, [.. Eval(), "-d", Data()]));
        string file = Path.Combine(Output, "results.jsonl");
        using (FileStream sparse = File.OpenWrite(file))
        {
            sparse.SetLength(100L << 30);
        }

        Assert.Contains($"{file} cannot be read: it is larger than 1,023 MiB", await FailsAsync(4, ["report", Output]), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("calibrate {model} --tokens 1000 --threads 1 -o {folder}/made.edgekv -t {text}")]
    [InlineData("calibrate {model} --tokens 1000 --threads 1 -o {folder}/made.edgekv -t {texts}")]
    [InlineData("eval {model} -o {folder}/run -p knorm --ratios 0.5 --synthetic --tasks niah_single_2 --lengths 512 --samples 1 --haystack {text}")]
    public async Task Text_ThatShowsNothing_IsRefused(string line)
    {
        string text = _folder.File("texts/unseen.txt", Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat("\u200b\n", 3000))));

        string error = await FailsAsync(4, line.Split(' ').Select(word => word
            .Replace("{model}", _model, StringComparison.Ordinal)
            .Replace("{texts}", Path.GetDirectoryName(text), StringComparison.Ordinal)
            .Replace("{text}", text, StringComparison.Ordinal)
            .Replace("{folder}", _folder.Path, StringComparison.Ordinal)));

        Assert.Contains(line.Contains("{texts}", StringComparison.Ordinal) ? "no text to learn from" : text, error, StringComparison.Ordinal);
        Assert.Equal(["texts"], Directory.GetFileSystemEntries(_folder.Path).Select(Path.GetFileName));
    }

    [Fact]
    public async Task Calibrate_LinksInACircle_ReadsEveryTextOnce()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Links need rights on Windows.");
        File.Copy(Places.Document, Path.Combine(Directory.CreateDirectory(Path.Combine(_folder.Path, "texts")).FullName, "a.md"));
        string texts = Path.Combine(_folder.Path, "texts");
        File.CreateSymbolicLink(Path.Combine(texts, "again"), ".");

        Assert.Contains("from 1 files", await TextsOfAsync("-t", texts), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Calibrate_ATextThatIsNamedTwice_ReadsItOnce() =>
        Assert.Contains("from 1 files of tower", (await TextsOfAsync("-t", Places.Document, "-t", Places.Document)).Replace(Path.GetFileName(Places.Document), "tower", StringComparison.Ordinal), StringComparison.Ordinal);

    [Theory]
    [InlineData("{\"datasets\": null}")]
    [InlineData("{\"version\": \"one\"}")]
    [InlineData("{\"version\": 3")]
    public async Task Report_ADamagedRun_SpeaksOfTheFileAlone(string json)
    {
        string file = _folder.File("run/run.json", Encoding.UTF8.GetBytes(json));

        string error = await FailsAsync(4, ["report", Output]);

        Assert.Contains(file, error, StringComparison.Ordinal);
        SpeaksOfNoProgram(error);
    }

    [Theory]
    [InlineData("null")]
    [InlineData("{\"dataset\": null}")]
    [InlineData("{\"dataset\": 7}")]
    public async Task Report_DamagedResults_SpeaksOfTheFileAlone(string json)
    {
        Assert.Empty(await FailsAsync(0, [.. Eval(), "-d", Data()]));
        string file = Path.Combine(Output, "results.jsonl");
        File.WriteAllText(file, json + "\n");

        string error = await FailsAsync(4, ["report", Output]);

        Assert.Contains($"{file}, line 1", error, StringComparison.Ordinal);
        SpeaksOfNoProgram(error);
    }

    [Theory]
    [InlineData("{\"tables\": {\"a\": {\"arrays\": null}}}")]
    [InlineData("{\"layers\": null}")]
    [InlineData("{")]
    public async Task Ask_ADamagedProfile_SpeaksOfTheFileAlone(string json)
    {
        string profile = _folder.File("any.edgekv", Encoding.UTF8.GetBytes($"EDGEKV-PROFILE 2\n{json}\0"));

        string error = await FailsAsync(3, ["ask", "-m", _model, "-d", Places.Document, "-q", "What?", "--profile", profile]);

        Assert.Contains($"{profile} is damaged", error, StringComparison.Ordinal);
        SpeaksOfNoProgram(error);
    }

    [Theory]
    [InlineData("calibrate {model} -t {text} --tokens 1000 --threads 1 -o {folder}/made.edgekv")]
    [InlineData("calibrate {model} -t {text} --for q-filters --threads 1 -o {folder}/made.edgekv")]
    [InlineData("eval {model} -d {data} -p knorm --ratios 0.5 --threads 1 -o {folder}/run")]
    public async Task Model_ThatComputesNoNumbers_LeavesNothing(string line)
    {
        byte[] model = await File.ReadAllBytesAsync(_model, TestContext.Current.CancellationToken);
        model.AsSpan(model.Length * 3 / 4).Fill(0xFF);
        string damaged = _folder.File("damaged.gguf", model);
        string data = Data();

        string error = await FailsAsync(3, line.Split(' ').Select(word => word
            .Replace("{model}", damaged, StringComparison.Ordinal)
            .Replace("{text}", Places.Document, StringComparison.Ordinal)
            .Replace("{data}", data, StringComparison.Ordinal)
            .Replace("{folder}", _folder.Path, StringComparison.Ordinal)));

        Assert.Contains("computes no numbers", error, StringComparison.Ordinal);
        Assert.Equal(["damaged.gguf", "data.jsonl"], Directory.GetFileSystemEntries(_folder.Path).Select(Path.GetFileName).Order());
    }

    private string Data() => _folder.File("data.jsonl", Encoding.UTF8.GetBytes(Sample));

    private string[] Eval() => ["eval", _model, "-p", "knorm", "--ratios", "0.5", "--threads", "1", "-o", Output];

    private async Task<string> TextsOfAsync(params string[] texts)
    {
        string profile = Path.Combine(_folder.Path, "made.edgekv");
        Assert.Empty(await FailsAsync(0, ["calibrate", _model, "--for", "learned", "--tokens", "1000", "--threads", "1", "-o", profile, .. texts]));
        return ScoreProfile.Load(profile).Provenance["texts"];
    }

    private static void SpeaksOfNoProgram(string error)
    {
        foreach (string word in (string[])["EdgeKV.", "System.", "constructor", "deserializ", "annotation", "type '", "Path:", "LineNumber"])
        {
            Assert.DoesNotContain(word, error, StringComparison.Ordinal);
        }
    }

    private static async Task<string> FailsAsync(int expected, IEnumerable<string> args)
    {
        using TestTerminal terminal = new();
        int code = await Task.Run(() => CommandLineApp.RunAsync([.. args], terminal.Terminal, TestContext.Current.CancellationToken), TestContext.Current.CancellationToken);
        Assert.True(code == expected, $"{code}: {terminal.ErrorText}");
        return terminal.ErrorText;
    }
}
