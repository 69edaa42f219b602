namespace EdgeKV.Evaluation.Tests.Data;

public sealed class LongBenchReaderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("narrativeqa", MetricNames.F1, 128)]
    [InlineData("qasper", MetricNames.F1, 128)]
    [InlineData("multifieldqa_en", MetricNames.F1, 64)]
    [InlineData("hotpotqa", MetricNames.F1, 32)]
    [InlineData("2wikimqa", MetricNames.F1, 32)]
    [InlineData("musique", MetricNames.F1, 32)]
    [InlineData("gov_report", MetricNames.RougeL, 512)]
    [InlineData("qmsum", MetricNames.RougeL, 512)]
    [InlineData("multi_news", MetricNames.RougeL, 512)]
    [InlineData("trec", MetricNames.Classification, 64)]
    [InlineData("triviaqa", MetricNames.F1, 32)]
    [InlineData("samsum", MetricNames.RougeL, 128)]
    [InlineData("lsht", MetricNames.Classification, 64)]
    [InlineData("passage_count", MetricNames.Count, 32)]
    [InlineData("passage_retrieval_en", MetricNames.Retrieval, 32)]
    [InlineData("passage_retrieval_zh", MetricNames.Retrieval, 32)]
    [InlineData("lcc", MetricNames.EditSimilarity, 64)]
    [InlineData("repobench-p", MetricNames.EditSimilarity, 64)]
    public void Read_EveryTask_HasItsMetricAndTokens(string task, string metric, int newTokens)
    {
        EvalSample sample = Assert.Single(Datasets.Read(_folder.File($"{task}.jsonl", Line(task, "the input", "段落3"))));

        Assert.Equal(("longbench", task, "x1"), (sample.Dataset, sample.Task, sample.Id));
        Assert.Equal((metric, newTokens, 77), (sample.Metric, sample.NewTokens, sample.Length));
        Assert.Contains("the context", sample.Context, StringComparison.Ordinal);
        Assert.DoesNotContain("the input", sample.Context, StringComparison.Ordinal);
        bool hasNoInput = task is "gov_report" or "multi_news" or "passage_count";
        Assert.Equal(!hasNoInput, sample.Question.Contains("the input", StringComparison.Ordinal));
        Assert.Equal(task is "trec" or "triviaqa" or "samsum" or "lsht", sample.StopsAtNewline);
        Assert.Equal(metric == MetricNames.Classification ? ["a", "b"] : [], sample.Classes);
    }

    [Fact]
    public void Read_Examples_GoOnFromTheInputsLastLine()
    {
        EvalSample sample = Assert.Single(Datasets.Read(_folder.File("trec.jsonl", Line("trec", "Question: Who {0}?\\nType:", "a"))));

        Assert.Equal(("Question: Who {0}?\n", "Type:"), (sample.Question, sample.AnswerPrefix));
    }

    [Fact]
    public void Read_BalancedFile_IsADataSetOfItsOwn() =>
        Assert.Equal("longbench-e", Assert.Single(Datasets.Read(_folder.File("trec_e.jsonl", Line("trec", "a", "a")))).Dataset);

    [Theory]
    [InlineData("dureader", "cannot be judged here: its metric splits Chinese into words")]
    [InlineData("trick", "\"trick\" is no task of LongBench; there are narrativeqa, ")]
    public void Read_TaskWithoutAMetric_IsRefused(string task, string what)
    {
        string path = _folder.File("a.jsonl", Line(task, "a", "a"));

        DatasetException e = Assert.Throws<DatasetException>(() => Datasets.Read(path));

        Assert.StartsWith(path + ":1: ", e.Message, StringComparison.Ordinal);
        Assert.Contains(what, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Read_RetrievalWithoutParagraph_IsRefused()
    {
        string path = _folder.File("a.jsonl", Line("passage_retrieval_en", "a", "third"));

        Assert.Contains("the answer \"third\" names no paragraph", Assert.Throws<DatasetException>(() => Datasets.Read(path)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("hotpotqa", " ", "a", "the field \"input\" is empty")]
    [InlineData("hotpotqa", "a", "", "the field \"answers\" holds an empty text")]
    [InlineData("trec", "Type:", "a", "there is no text before the answer's beginning in the field \"input\"")]
    public void Read_NothingToAskOrToBeRight_IsRefused(string task, string input, string answer, string what)
    {
        string path = _folder.File("a.jsonl", Line(task, input, answer));

        DatasetException e = Assert.Throws<DatasetException>(() => Datasets.Read(path));

        Assert.StartsWith($"{path}:1: {what}", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("gov_report")]
    [InlineData("lcc")]
    public void Read_TaskThatAsksOfTheContextAlone_NeedsNoInput(string task) => Assert.Single(Datasets.Read(_folder.File("a.jsonl", Line(task, "", "a"))));

    [Fact]
    public void Read_EmptyContext_IsRefused()
    {
        string path = _folder.File("a.jsonl", Line("hotpotqa", "a", "a").Replace("the context", "", StringComparison.Ordinal));

        Assert.Contains("the field \"context\" is empty", Assert.Throws<DatasetException>(() => Datasets.Read(path)).Message, StringComparison.Ordinal);
    }

    private static string Line(string task, string input, string answer) =>
        $$"""{"input": "{{input}}", "context": "the context", "answers": ["{{answer}}"], "length": 77, "dataset": "{{task}}", "language": "en", "all_classes": ["a", "b"], "_id": "x1"}""";
}
