namespace EdgeKV.Evaluation.Tests.Data;

public sealed class NeedleReaderTests : IDisposable
{
    private const string Needle = "The code is 7.";

    private readonly TemporaryFolder _folder = new();

    public NeedleReaderTests()
    {
        _folder.File("hay/documents/b.txt", "Five six seven. Eight nine ten.");
        _folder.File("hay/documents/a.txt", "One two. Three four!\n");
        _folder.File("hay/needle.txt", Needle + "\n");
        _folder.File("hay/question.txt", "What is the code?\n");
        Settings("""{"lengths": [8, 14], "depths": [0, 0.5, 1], "answers": ["7"], "new_tokens": 9}""");
    }

    private string Folder => Path.Combine(_folder.Path, "hay");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Read_Grid_FillsEachLengthAndPutsTheNeedleAtEachDepth()
    {
        IReadOnlyList<EvalSample> samples = Datasets.Read(Folder, Words);

        Assert.Equal(
            [
                "The code is 7. One two. Three four!\n\n",
                "One two. The code is 7. Three four!\n\n",
                "One two. Three four! The code is 7.\n\n",
                "The code is 7. One two. Three four!\n\nFive six seven. Eight nine ten.\n\n",
                "One two. Three four!\n\nThe code is 7.\nFive six seven. Eight nine ten.\n\n",
                "One two. Three four!\n\nFive six seven. Eight nine ten. The code is 7.\n\n",
            ],
            samples.Select(sample => sample.Context));
        Assert.Equal([8, 8, 8, 14, 14, 14], samples.Select(sample => sample.Length!.Value));
        Assert.Equal([0, 0.5, 1, 0, 0.5, 1], samples.Select(sample => sample.Depth!.Value));
        Assert.Equal(("needle/8", "hay", "0.5", "What is the code?"), (samples[1].Dataset, samples[1].Task, samples[1].Id, samples[1].Question));
        Assert.Equal((MetricNames.MatchAll, 9), (samples[1].Metric, samples[1].NewTokens));
    }

    [Fact]
    public void Read_WithoutTokenizer_IsRefused() => Assert.Throws<ArgumentNullException>(() => Datasets.Read(Folder));

    [Theory]
    [InlineData("""{"lengths": [15], "depths": [0], "answers": ["7"]}""", "the length 15 is more than the documents have (14 tokens with the needle)")]
    [InlineData("""{"lengths": [5], "depths": [0], "answers": ["7"]}""", "the length 5 has no room for the needle and one sentence")]
    [InlineData("""{"lengths": [8.5], "depths": [0], "answers": ["7"]}""", "the field \"lengths\" holds the number 8.5, not a whole number of tokens")]
    [InlineData("""{"lengths": [8], "depths": [50], "answers": ["7"]}""", "the field \"depths\" holds the number 50, not a number from 0 to 1")]
    [InlineData("""{"lengths": [8], "depths": [], "answers": ["7"]}""", "the field \"depths\" is an empty list")]
    [InlineData("""{"lengths": [8], "depths": [0]}""", "the field \"answers\" is missing")]
    [InlineData("""{"lengths": [8], "depths": [0], "answers": [""]}""", "the field \"answers\" holds an empty text")]
    [InlineData("""{"lengths": [8], "depths": [0], "answers": ["the"], "metric": "exact-match"}""", "an answer of no words would be right by exact-match")]
    [InlineData("""{"lengths": [9], "lengths": [8], "depths": [0], "answers": ["7"]}""", "a key is given twice (Duplicate property 'lengths'")]
    [InlineData("""{"lengths": [8], "depths": [0], "answers": ["7"], "metric": "perplexity"}""", "the metric \"perplexity\" does not suit a needle")]
    public void Read_BadSettings_AreNamed(string settings, string what)
    {
        string path = Settings(settings);

        DatasetException e = Assert.Throws<DatasetException>(() => Datasets.Read(Folder, Words));

        Assert.StartsWith(path + ": ", e.Message, StringComparison.Ordinal);
        Assert.Contains(what, e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("needle.txt", "this file is missing")]
    [InlineData("needle.json", "this file is missing")]
    [InlineData("question.txt", "this file is missing")]
    [InlineData("documents", "there are no .txt files in this folder")]
    public void Read_PartMissing_IsNamed(string part, string what)
    {
        string path = Path.Combine(Folder, part);
        if (part == "documents")
        {
            Directory.Delete(path, recursive: true);
        }
        else
        {
            File.Delete(path);
        }

        DatasetException e = Assert.Throws<DatasetException>(() => Datasets.Read(Folder, Words));

        Assert.StartsWith($"{path}: {what}", e.Message, StringComparison.Ordinal);
    }

    private static int Words(string text) => text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Length;

    private string Settings(string json) => _folder.File("hay/needle.json", json);
}
