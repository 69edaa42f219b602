namespace EdgeKV.Evaluation.Tests.Data;

public sealed class DatasetsTests : IDisposable
{
    private const string Plain = """{"context": "a", "question": "b", "answers": "c"}""";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Read_FolderOfFiles_TakesAllOfThemAndNothingElse()
    {
        _folder.File("b.jsonl", Plain + "\n" + Plain);
        _folder.File("vt.jsonl", """{"input": "a\nQuestion: b? Answer:", "outputs": ["c"]}""");
        _folder.File("README.md", "# About");

        Assert.Equal(["b b 0", "b b 1", "ruler vt 0"], Datasets.Read(_folder.Path).Select(sample => $"{sample.Dataset} {sample.Task} {sample.Id}"));
    }

    [Fact]
    public void Read_NothingThere_SaysSo() =>
        Assert.EndsWith("there is no such file or folder; check the path.", Wrong(Path.Combine(_folder.Path, "none")), StringComparison.Ordinal);

    [Fact]
    public void Read_EmptyFolder_SaysSo() => Assert.StartsWith($"{_folder.Path}: there is no sample in it; give a .jsonl", Wrong(_folder.Path), StringComparison.Ordinal);

    [Theory]
    [InlineData("")]
    [InlineData("\n  \n")]
    public void Read_EmptyFile_SaysSo(string text) => Assert.Contains("a.jsonl: this file is empty", Wrong(_folder.File("a.jsonl", text)), StringComparison.Ordinal);

    [Theory]
    [InlineData("a.jsonl", "{\"name\": \"x\"}", "a.jsonl:1: this is no sample of any layout that is read; RULER has \"input\"")]
    [InlineData("a.json", "{\"name\": \"x\"}", "a.json:1: this is no sample of any layout that is read")]
    [InlineData("a.json", "{\n\"name\": \"x\"\n}", "a.json: the field \"data\" is missing")]
    [InlineData("a.txt", "Some text.", "a.txt:1: this is not JSON (byte 1)")]
    [InlineData("a.jsonl", "\n{\n", "a.jsonl:2: this is not JSON (byte 2)")]
    public void Read_NoneOfTheLayouts_NamesThem(string name, string text, string what) =>
        Assert.Contains(what, Wrong(_folder.File(name, text)), StringComparison.Ordinal);

    [Fact]
    public void Read_NotUtf8_NamesTheFirstBadByte()
    {
        string path = _folder.File("a.jsonl", string.Empty);
        File.WriteAllBytes(path, [(byte)'{', 0xE9, (byte)'}']);

        Assert.StartsWith($"{path}: this is not UTF-8 text (byte 1)", Wrong(path), StringComparison.Ordinal);
    }

    [Fact]
    public void Read_ByteOrderMark_IsNoPartOfTheText()
    {
        string path = _folder.File("a.jsonl", "\uFEFF" + Plain);

        Assert.Single(Datasets.Read(path));
    }

    [Fact]
    public void Read_EndlessFolders_AreRefused()
    {
        _folder.File("1/2/3/4/5/a.jsonl", Plain);

        Assert.Contains("more than 4 deep", Wrong(_folder.Path), StringComparison.Ordinal);
    }

    [Fact]
    public void Sha256_OfARenamedFile_IsTheSame() =>
        Assert.Equal(Hash(_folder.File("a.jsonl", Plain)), Hash(_folder.File("b/c.jsonl", Plain + "\n")));

    [Theory]
    [InlineData("""{"context": "a", "question": "b", "answers": "d"}""")]
    [InlineData("""{"context": "a", "question": "b", "answers": ["c", "d"]}""")]
    [InlineData("""{"context": "ab", "question": "b", "answers": "c"}""")]
    [InlineData("""{"context": "a", "question": "b", "answers": "c", "new_tokens": 3}""")]
    [InlineData("""{"context": "a", "question": "b", "answers": "c", "metric": "f1"}""")]
    public void Sha256_OfAnythingElseThatIsAsked_Differs(string line) =>
        Assert.NotEqual(Hash(_folder.File("a.jsonl", Plain)), Hash(_folder.File("a.jsonl", line)));

    [Fact]
    public void Sha256_OfAnotherHaystack_Differs() => Assert.NotEqual(Datasets.Sha256([], "one"), Datasets.Sha256([], "two"));

    private static string Hash(string path) => Datasets.Sha256(Datasets.Read(path));

    private static string Wrong(string path) => Assert.Throws<DatasetException>(() => Datasets.Read(path)).Message;
}
