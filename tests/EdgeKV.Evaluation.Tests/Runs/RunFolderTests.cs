namespace EdgeKV.Evaluation.Tests.Runs;

/// <summary>A run on disk.</summary>
public sealed class RunFolderTests : IDisposable
{
    private readonly string _path = Directory.CreateTempSubdirectory("edgekv-run-").FullName;

    private static RunManifest Manifest { get; } = new()
    {
        Version = RunManifest.CurrentVersion,
        EdgeKV = "0.1.0",
        LlamaCpp = Versions.LlamaCpp,
        Model = "m.gguf",
        ModelDescription = "tiny",
        ModelSha256 = "ab",
        Layers = 2,
        KvHeads = 3,
        CacheType = "f16",
        Threads = 1,
        Datasets = ["d"],
        Policies = ["global"],
        Ratios = [0, 0.5],
        Rows = [],
        Samples = 2,
        Seed = 1,
        QueryAware = false,
        Command = "edgekv eval",
        Machine = "here",
        Started = new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero),
    };

    private string Results => Path.Combine(_path, "results.jsonl");

    public void Dispose() => Directory.Delete(_path, recursive: true);

    [Fact]
    public void Append_Cells_AreThereForTheNextRun()
    {
        using (RunFolder first = RunFolder.Open(_path, Manifest, resume: false))
        {
            first.Append(Cell("0", 0.5, "Ünïcode <\"line\nbreak\">"));
            first.Append(Cell("1", double.NaN, null) with { Error = "too short" });
        }

        using RunFolder second = RunFolder.Open(_path, Manifest with { Started = DateTimeOffset.UtcNow }, resume: true);

        Assert.Equal(["0", "1"], second.Done.Select(cell => cell.Id));
        Assert.Equal("Ünïcode <\"line\nbreak\">", second.Done[0].Answer);
        Assert.Equal(0.5, second.Done[0].Score);
        Assert.True(double.IsNaN(second.Done[1].Score));
        Assert.Equal(Manifest.Started, second.Manifest.Started);
        Assert.Equal(2, File.ReadAllLines(Results).Length);
        Assert.Contains("Ünïcode", File.ReadAllText(Results), StringComparison.Ordinal);
    }

    [Fact]
    public void Open_HalfALineAtTheEnd_IsCutOff()
    {
        using (RunFolder first = RunFolder.Open(_path, Manifest, resume: false))
        {
            first.Append(Cell("0", 1, "a"));
        }

        string whole = File.ReadAllText(Results);
        File.AppendAllText(Results, whole[..^20]);
        Assert.Single(RunFolder.ReadResults(_path));

        using (RunFolder second = RunFolder.Open(_path, Manifest, resume: true))
        {
            Assert.Single(second.Done);
            second.Append(Cell("1", 1, "b"));
        }

        Assert.Equal(["0", "1"], RunFolder.ReadResults(_path).Select(cell => cell.Id));
    }

    [Fact]
    public void Open_ARunThatIsThere_NeedsResume()
    {
        RunFolder.Open(_path, Manifest, resume: false).Dispose();

        OutputException e = Assert.Throws<OutputException>(() => RunFolder.Open(_path, Manifest, resume: false));

        Assert.Contains("--resume", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_WhileAnotherWrites_IsRefused()
    {
        using RunFolder first = RunFolder.Open(_path, Manifest, resume: false);

        OutputException e = Assert.Throws<OutputException>(() => RunFolder.Open(_path, Manifest, resume: true));

        Assert.Contains("another process", e.Message, StringComparison.Ordinal);
        Assert.Empty(RunFolder.ReadResults(_path));
    }

    [Fact]
    public void Open_AnotherModelsRun_NamesWhatDiffers()
    {
        RunFolder.Open(_path, Manifest, resume: false).Dispose();

        RunException e = Assert.Throws<RunException>(() => RunFolder.Open(_path, Manifest with { ModelSha256 = "cd" }, resume: true));

        Assert.Contains("another model: ab there, cd now", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_OtherData_SaysSoInEnglish()
    {
        RunFolder.Open(_path, Manifest, resume: false).Dispose();

        RunException e = Assert.Throws<RunException>(() => RunFolder.Open(_path, Manifest with { Datasets = ["other.jsonl"] }, resume: true));

        Assert.Contains("has a run with other data sets: ", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_MorePoliciesAndSamples_GoesOn()
    {
        RunFolder.Open(_path, Manifest, resume: false).Dispose();

        using RunFolder second = RunFolder.Open(_path, Manifest with { Policies = ["global", "tova"], Samples = 9 }, resume: true);

        Assert.Equal(["global", "tova"], RunFolder.ReadManifest(_path).Policies);
    }

    [Fact]
    public void ReadResults_ALineThatIsNoCell_IsNamed()
    {
        File.WriteAllText(Results, "{\"dataset\": 7}\n");

        RunException e = Assert.Throws<RunException>(() => RunFolder.ReadResults(_path));

        Assert.Contains("results.jsonl, line 1", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{")]
    [InlineData("null")]
    public void ReadManifest_Damaged_IsNamed(string text)
    {
        File.WriteAllText(Path.Combine(_path, "run.json"), text);

        Assert.Contains("run.json", Assert.Throws<RunException>(() => RunFolder.ReadManifest(_path)).Message, StringComparison.Ordinal);
    }

    private static CellResult Cell(string id, double score, string? answer) => new()
    {
        Dataset = "d",
        Task = "t",
        Id = id,
        Policy = "global",
        Ratio = 0.5,
        RatioAchieved = 0.5,
        ContextTokens = 10,
        Metric = MetricNames.MatchAll,
        Score = score,
        Answer = answer,
        FullBytes = 100,
        Bytes = 50,
        PeakPositions = 10,
        PrefillSeconds = 1,
        ScoreSeconds = 0,
        PlanSeconds = 0,
        ApplySeconds = 0,
        QuestionSeconds = 0,
        AnswerTokens = 1,
        DecodeSeconds = 0,
    };
}
