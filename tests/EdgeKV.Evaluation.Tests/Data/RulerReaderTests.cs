using EdgeKV.Measurements.Subjects;

namespace EdgeKV.Evaluation.Tests.Data;

public sealed class RulerReaderTests : IDisposable
{
    private const string Niah =
        """{"index": 3, "input": "A number is hidden.\nWhat a day.\nIt is 7.\nWhat is the number for x-y? The number for x-y is", "outputs": ["7"], "length": 40}""";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Read_Needle_IsCutAtItsLastQuestion()
    {
        EvalSample sample = Assert.Single(Datasets.Read(_folder.File("1024/niah_single_2/validation.jsonl", Niah)));

        Assert.Equal("ruler/1024", sample.Dataset);
        Assert.Equal("niah_single_2", sample.Task);
        Assert.Equal("3", sample.Id);
        Assert.Equal("A number is hidden.\nWhat a day.\nIt is 7.\n", sample.Context);
        Assert.Equal("What is the number for x-y? ", sample.Question);
        Assert.Equal("The number for x-y is", sample.AnswerPrefix);
        Assert.Equal(["7"], sample.Answers);
        Assert.Equal(MetricNames.MatchAll, sample.Metric);
        Assert.Equal(1024, sample.Length);
        Assert.Equal(Path.Combine(_folder.Path, "1024/niah_single_2/validation.jsonl") + ":1", sample.Source);
        Assert.False(sample.StopsAtNewline);
    }

    [Theory]
    [InlineData("vt", "VAR A = 1\\n Question: Find? Answer: A\\n\\nQuestion: Find 1. ", "Answer: they are: ", MetricNames.MatchAll, 30)]
    [InlineData("cwe", "1. a\\nQuestion: What? Answer: a\\n1. b\\nQuestion: What are they? ", "Answer: The words are:", MetricNames.MatchAll, 120)]
    [InlineData("fwe", "a ... b\\nQuestion: Please. What are the words? ", "Answer: they are:", MetricNames.MatchAll, 50)]
    [InlineData("qa_1", "Document 1:\\nQuestion: who? ", "Answer:", MetricNames.MatchAny, 32)]
    [InlineData("niah_multiquery", "Some text\\nWhat are they? ", "They are", MetricNames.MatchAll, 128)]
    public void Read_EveryFamily_HasItsCutMetricAndTokens(string task, string prompt, string prefix, string metric, int newTokens)
    {
        EvalSample sample = Assert.Single(Datasets.Read(_folder.File($"{task}.jsonl", $$"""{"input": "{{prompt}}{{prefix}}", "outputs": ["a", "b"]}""")));

        Assert.Equal(task, sample.Task);
        Assert.Equal("ruler", sample.Dataset);
        Assert.Equal("0", sample.Id);
        Assert.Equal(prefix, sample.AnswerPrefix);
        Assert.Equal(prompt.Replace("\\n", "\n", StringComparison.Ordinal), sample.Context + sample.Question);
        Assert.EndsWith("\n", sample.Context, StringComparison.Ordinal);
        Assert.Equal(metric, sample.Metric);
        Assert.Equal(newTokens, sample.NewTokens);
        Assert.Null(sample.Length);
    }

    [Fact]
    public void Read_AnswerPrefixOfItsOwn_IsPartOfTheInput()
    {
        string line = """{"input": "It is 7.\nWhat is it?", "answer_prefix": " It is", "outputs": ["7"], "length": 12}""";

        EvalSample sample = Assert.Single(Datasets.Read(_folder.File("niah_single_1/validation.jsonl", line)));

        Assert.Equal(("It is 7.\n", "What is it? ", "It is"), (sample.Context, sample.Question, sample.AnswerPrefix));
        Assert.Equal(12, sample.Length);
    }

    [Fact]
    public void Read_FolderOfLengths_TakesThemByValueAndTasksByName()
    {
        foreach (string path in new[] { "4096/vt", "1024/niah_single_1", "1024/cwe", "16384/cwe" })
        {
            string question = path.EndsWith('1') ? "What is it? It is" : "Question: What? Answer:";
            _folder.File($"{path}/validation.jsonl", $$"""{"index": 0, "input": "text\n{{question}}", "outputs": ["a"]}""" + "\n\n");
        }

        Assert.Equal(
            ["ruler/1024 cwe", "ruler/1024 niah_single_1", "ruler/4096 vt", "ruler/16384 cwe"],
            Datasets.Read(_folder.Path).Select(sample => $"{sample.Dataset} {sample.Task}"));
        Assert.Equal(2, Datasets.Read(Path.Combine(_folder.Path, "1024")).Count);
        Assert.Equal("ruler/1024", Assert.Single(Datasets.Read(Path.Combine(_folder.Path, "1024", "cwe"))).Dataset);
    }

    [Theory]
    [InlineData("""{"input": "a\nWhat is it? It is"}""", "the field \"outputs\" is missing")]
    [InlineData("""{"outputs": ["a"]}""", "the field \"input\" is missing")]
    [InlineData("""{"input": 5, "outputs": ["a"]}""", "the field \"input\" is the number 5, not a text")]
    [InlineData("""{"input": "a\nWhat is it? It is", "outputs": []}""", "the field \"outputs\" is an empty list")]
    [InlineData("""{"input": "a\nWhat is it? It is", "outputs": [7]}""", "the field \"outputs\" holds the number 7")]
    [InlineData("""{"input": "a\nWho is it? It is", "outputs": ["a"]}""", "begins with \"What \" on a new line")]
    [InlineData("""{"input": "a\nWhat is it: it is", "outputs": ["a"]}""", "after \"? \"")]
    [InlineData("""{"input": "a\nWhat is \ud800? It is", "outputs": ["a"]}""", "is not Unicode text")]
    [InlineData("""{"input": "a""", "is not JSON (byte ")]
    [InlineData("[1]", "this is a list, not an object")]
    [InlineData("""{"input": "a\nWhat is it? It is", "outputs": [""]}""", "the field \"outputs\" holds an empty text")]
    [InlineData("""{"input": "\nWhat is it? It is", "outputs": ["a"]}""", "there is no text before the question in the field \"input\"")]
    [InlineData("""{"input": "a", "input": "a\nWhat is it? It is", "outputs": ["a"]}""", "a key is given twice (Duplicate property 'input'")]
    public void Read_BadLine_NamesFileAndLine(string line, string what)
    {
        string path = _folder.File("1024/niah_single_1/validation.jsonl", Niah + "\n\n" + line + "\n");

        DatasetException e = Assert.Throws<DatasetException>(() => Datasets.Read(path));

        Assert.StartsWith(path + ":3: ", e.Message, StringComparison.Ordinal);
        Assert.Contains(what, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Read_UnknownTask_NamesThoseThatThereAre()
    {
        string path = _folder.File("summary.jsonl", Niah);

        DatasetException e = Assert.Throws<DatasetException>(() => Datasets.Read(path));

        Assert.Contains("\"summary\" is no task of RULER", e.Message, StringComparison.Ordinal);
        Assert.Contains("niah_*, vt, cwe, fwe, qa_*", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Read_SameSampleTwice_IsRefused()
    {
        string path = _folder.File("niah_single_1/validation.jsonl", Niah + "\n" + Niah);

        DatasetException e = Assert.Throws<DatasetException>(() => Datasets.Read(path));

        Assert.Contains($"{path}:2: ruler niah_single_1 has the sample \"3\" already ({path}:1)", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Read_DevelopmentSet_CutsNeedlesAsTheProjectAlwaysHas()
    {
        if (Places.Shared is not { } shared)
        {
            Assert.Skip(Golden.Missing);
            return;
        }

        IReadOnlyList<EvalSample> samples = Datasets.Read(Path.Combine(shared, "ruler", "dev", "1024"));

        Assert.Equal(11 * 20, samples.Count);
        foreach (EvalSample sample in samples.Where(sample => sample.Task.StartsWith("niah", StringComparison.Ordinal)))
        {
            RulerSample old = RulerSample.Read(shared, 1024, sample.Task, int.Parse(sample.Id, null));
            Assert.Equal((old.Context, old.Question, old.AnswerPrefix), (sample.Context, sample.Question, sample.AnswerPrefix));
            Assert.Equal(old.Answers, sample.Answers);
        }

        EvalSample vt = samples.First(sample => sample.Task == "vt");
        Assert.StartsWith("Question: Find all variables that are assigned the value 39397", vt.Question, StringComparison.Ordinal);
        Assert.StartsWith("Answer: According to the chain(s)", vt.AnswerPrefix, StringComparison.Ordinal);
    }
}
