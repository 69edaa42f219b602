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
    public void Open_OtherData_NamesBothHashes()
    {
        RunFolder.Open(_path, Manifest with { DataSha256 = "ab" }, resume: false).Dispose();

        RunException e = Assert.Throws<RunException>(() => RunFolder.Open(_path, Manifest with { DataSha256 = "cd" }, resume: true));

        Assert.Contains("data: ab there, cd now", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Open_TheSameDataUnderAnotherName_GoesOn()
    {
        RunFolder.Open(_path, Manifest with { DataSha256 = "ab" }, resume: false).Dispose();

        using RunFolder second = RunFolder.Open(_path, Manifest with { DataSha256 = "ab", Datasets = ["moved/d"] }, resume: true);

        Assert.Equal(["moved/d"], second.Manifest.Datasets);
    }

    [Fact]
    public void Open_ARunThatDidNotWriteDownItsData_IsNotGoneOnWith()
    {
        RunFolder.Open(_path, Manifest, resume: false).Dispose();

        RunException e = Assert.Throws<RunException>(() => RunFolder.Open(_path, Manifest with { DataSha256 = "ab" }, resume: true));

        Assert.Contains("did not write down what its data was", e.Message, StringComparison.Ordinal);
        Assert.Empty(RunFolder.ReadResults(_path));
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
    [InlineData("\"score\":0.5", "\"score\":7e300", "the score is 7E+300; match-all gives 0 to 1")]
    [InlineData("\"metric\":\"match-all\",\"score\":0.5", "\"metric\":\"perplexity\",\"score\":0.5", "the score is 0.5; perplexity gives 1 and more")]
    [InlineData("\"metric\":\"match-all\"", "\"metric\":\"bleu\"", "there is no metric \"bleu\"")]
    [InlineData("\"ratio\":0.5", "\"ratio\":5", "the ratio is 5; it is from 0 to below 1")]
    [InlineData("\"rows\":null", "\"rows\":0", "the rows are 0; there is at least 1")]
    [InlineData("\"ratioAchieved\":0.5", "\"ratioAchieved\":-2", "the ratioAchieved is -2; it is from 0 to 1")]
    [InlineData("\"contextTokens\":10", "\"contextTokens\":0", "the contextTokens are 0; there is at least 1")]
    [InlineData("\"answerTokens\":1", "\"answerTokens\":-1", "the answerTokens are -1; there is at least 0")]
    [InlineData("\"prefillSeconds\":1", "\"prefillSeconds\":null", "the prefillSeconds are no number of seconds")]
    [InlineData("\"prefillSeconds\":1", "\"prefillSeconds\":1.7e308", "the prefillSeconds are no number of seconds")]
    [InlineData("\"decodeSeconds\":0", "\"decodeSeconds\":5e-324", "the answerTokens are 1, too many for 5E-324 decodeSeconds")]
    [InlineData("\"fullBytes\":100", "\"fullBytes\":0", "the fullBytes are 0; there is at least 1")]
    [InlineData("\"fullBytes\":100", "\"fullBytes\":9223372036854775807", "the fullBytes are 9223372036854775807, too many for 10 contextTokens")]
    [InlineData("\"score\":0.5", "\"score\":null", "there is neither a score nor an error")]
    [InlineData("\"dataset\":\"d\"", "\"dataset\":null", "dataset")]
    [InlineData("\"task\":\"t\"", "\"task\":\"u\",\"task\":\"t\"", "\"task\" is given twice")]
    public void ReadResults_AFigureThatCannotBe_NamesFileAndLine(string there, string instead, string what)
    {
        using (RunFolder folder = RunFolder.Open(_path, Manifest, resume: false))
        {
            folder.Append(Cell("0", 0.5, "a"));
            folder.Append(Cell("1", 0.5, "b"));
        }

        string[] lines = File.ReadAllLines(Results);
        Assert.Contains(there, lines[1], StringComparison.Ordinal);
        lines[1] = lines[1].Replace(there, instead, StringComparison.Ordinal);
        File.WriteAllLines(Results, lines);

        RunException e = Assert.Throws<RunException>(() => RunFolder.ReadResults(_path));

        Assert.Contains("results.jsonl, line 2: ", e.Message, StringComparison.Ordinal);
        Assert.Contains(what, e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\"seed\": 1", "\"seed\": 2, \"seed\": 1", "\"seed\" is given twice")]
    [InlineData("\"kvHeads\": 3", "\"kvHeads\": 0", "the kvHeads are 0; there is at least 1")]
    [InlineData("0.5", "5", "a ratio is 5; it is from 0 to below 1")]
    [InlineData("\"kvHeads\": 3", "\"kvHeads\": 3, \"kvHeadsByLayer\": [1]", "the kvHeadsByLayer are 1; there are ")]
    [InlineData("\"kvHeads\": 3", "\"kvHeads\": 3, \"kvHeadsByLayer\": [-1, 1]", "the kvHeadsByLayer are -1; there is at least 1")]
    [InlineData("\"threads\": 1", "\"threads\": -3", "the threads are -3; there is at least 0")]
    [InlineData("\"samples\": 2", "\"samples\": -1", "the samples are -1; there is at least 1")]
    public void ReadManifest_AFigureThatCannotBe_IsNamed(string there, string instead, string what)
    {
        RunFolder.Open(_path, Manifest, resume: false).Dispose();
        string file = Path.Combine(_path, "run.json");
        string text = File.ReadAllText(file);
        Assert.Contains(there, text, StringComparison.Ordinal);
        File.WriteAllText(file, text.Replace(there, instead, StringComparison.Ordinal));

        RunException e = Assert.Throws<RunException>(() => RunFolder.ReadManifest(_path));

        Assert.Contains("run.json", e.Message, StringComparison.Ordinal);
        Assert.Contains(what, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ReadResults_LargerThanAnyRunsAre_IsNamed()
    {
        using (FileStream file = File.Create(Results))
        {
            // Takes no room on the disk.
            file.SetLength(3L << 30);
        }

        Assert.Contains("is larger than 1,023 MiB", Assert.Throws<RunException>(() => RunFolder.ReadResults(_path)).Message, StringComparison.Ordinal);
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
