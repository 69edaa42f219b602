namespace EdgeKV.Evaluation.Tests.Data;

public sealed class PlainReaderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Read_ThreeFields_AreEnough()
    {
        string path = _folder.File("mine.jsonl", """{"context": "It is 7.", "question": "What?", "answers": "7"}""" + "\r\n");

        EvalSample sample = Assert.Single(Datasets.Read(path));

        Assert.Equal(("mine", "mine", "0"), (sample.Dataset, sample.Task, sample.Id));
        Assert.Equal(("It is 7.\n\n", "What?", ""), (sample.Context, sample.Question, sample.AnswerPrefix));
        Assert.Equal(["7"], sample.Answers);
        Assert.Equal(MetricNames.MatchAny, sample.Metric);
        Assert.Equal(64, sample.NewTokens);
        Assert.Null(sample.Depth);
        Assert.Equal($"{path}:1", sample.Source);
    }

    [Fact]
    public void Read_AllFields_AreTaken()
    {
        string line = """
            {"context": "a ", "question": "b", "answers": ["c", "d"], "task": "t", "id": 12, "metric": "classification", "new_tokens": 5, "classes": ["c", "d", "e"], "depth": 0.25, "length": 9}
            """;

        EvalSample sample = Assert.Single(Datasets.Read(_folder.File("mine.jsonl", line)));

        Assert.Equal(("t", "12", "a "), (sample.Task, sample.Id, sample.Context));
        Assert.Equal((MetricNames.Classification, 5, 0.25, 9), (sample.Metric, sample.NewTokens, sample.Depth, sample.Length));
        Assert.Equal(["c", "d", "e"], sample.Classes);
    }

    [Fact]
    public void Read_Perplexity_LeavesTheContextAsItIsAndNeedsNoQuestion()
    {
        EvalSample sample = Assert.Single(Datasets.Read(_folder.File("mine.jsonl", """{"context": "Once upon", "answers": [" a time"], "metric": "perplexity"}""")));

        Assert.Equal(("Once upon", ""), (sample.Context, sample.Question));
        Assert.Equal([" a time"], sample.Answers);
    }

    [Theory]
    [InlineData("""{"context": "a", "answers": ["c"]}""", "the field \"question\" is missing")]
    [InlineData("""{"context": "a", "question": "b", "answers": [null]}""", "the field \"answers\" holds null, not only texts")]
    [InlineData("""{"context": "a", "question": "b", "answers": {"c": 1}}""", "the field \"answers\" is an object, not a list of texts")]
    [InlineData("""{"context": "a", "question": "b", "answers": "c", "metric": "bleu"}""", "there is no metric \"bleu\", only match-all, match-any")]
    [InlineData("""{"context": "a", "question": "b", "answers": "c", "metric": "classification"}""", "the field \"classes\" is missing")]
    [InlineData("""{"context": "a", "question": "b", "answers": "c", "metric": "retrieval"}""", "the answer \"c\" names no paragraph")]
    [InlineData("""{"context": "a", "question": "b", "answers": ["c", "d"], "metric": "perplexity"}""", "of one answer, the continuation, and there are 2")]
    [InlineData("""{"context": "a", "question": "b", "answers": "c", "new_tokens": 0}""", "the field \"new_tokens\" is the number 0, not a whole number of at least 1")]
    [InlineData("""{"context": "a", "question": "b", "answers": "c", "depth": 1.5}""", "the field \"depth\" is the number 1.5, not a number from 0 to 1")]
    [InlineData("""{"context": " \n", "question": "b", "answers": "c"}""", "the field \"context\" is empty")]
    [InlineData("""{"context": "", "answers": "c", "metric": "perplexity"}""", "the field \"context\" is empty")]
    [InlineData("""{"context": "a", "question": "", "answers": "c"}""", "the field \"question\" is empty")]
    [InlineData("""{"context": "a", "question": "b", "answers": ["c", ""]}""", "the field \"answers\" holds an empty text")]
    [InlineData("""{"context": "\u200b\ufeff\u00a0\u2003\u3000", "question": "b", "answers": "c"}""", "the field \"context\" is empty (it has blanks and characters that nobody sees)")]
    [InlineData("""{"context": "a", "question": "\u200b", "answers": "c"}""", "the field \"question\" is empty (it has blanks and characters that nobody sees)")]
    [InlineData("""{"context": "a", "question": "b", "answers": ["c", "\u2060\u00ad"]}""", "the field \"answers\" holds an empty text (it has blanks and characters that nobody sees)")]
    [InlineData("""{"context": "a\u0000", "question": "b", "answers": "c"}""", "the field \"context\" has the character \\u0000, which is no text")]
    [InlineData("""{"context": "a", "question": "b\u0000d", "answers": "c"}""", "the field \"question\" has the character \\u0000")]
    [InlineData("""{"context": "a", "question": "b", "answers": ["c", "\u0000"]}""", "the field \"answers\" has the character \\u0000")]
    [InlineData("""{"context": "a", "question": "b", "answers": "c", "task": "t\u0000"}""", "the field \"task\" has the character \\u0000")]
    [InlineData("""{"context": "a", "question": "b", "answers": " "}""", "the field \"answers\" is empty")]
    [InlineData("""{"context": "a", "answers": "", "metric": "perplexity"}""", "the field \"answers\" is empty")]
    [InlineData("""{"context": "a", "question": "b", "answers": "c", "answers": "d"}""", "a key is given twice (Duplicate property 'answers'")]
    [InlineData("""{"context": "a", "question": "b", "answers": {"c": 1, "c": 2}}""", "a key is given twice (Duplicate property 'c'")]
    [InlineData("""{"context": "a", "question": "b", "answers": ["c", "The."], "metric": "exact-match"}""", "an answer of no words would be right by exact-match, because of \"The.\"")]
    [InlineData("""{"context": "a", "question": "b", "answers": ["the", "..."], "metric": "f1"}""", "nothing is right by f1, not even \"the\"")]
    [InlineData("""{"context": "a", "question": "b", "answers": "...", "metric": "rouge-l"}""", "nothing is right by rouge-l, not even \"...\"")]
    [InlineData("""{"context": "a", "question": "b", "answers": "seven", "metric": "count"}""", "nothing is right by count, not even \"seven\"")]
    [InlineData("""{"context": "a", "question": "b", "answers": "x", "metric": "classification", "classes": ["c", "d"]}""", "nothing is right by classification, not even \"x\"")]
    [InlineData("""{"context": "a", "question": "b", "answers": "e", "metric": "classification", "classes": ["e", "e"]}""", "the class \"e\" is given twice")]
    public void Read_BadLine_NamesFileAndLine(string line, string what)
    {
        string path = _folder.File("mine.jsonl", """{"context": "a", "question": "b", "answers": "c"}""" + "\n" + line);

        DatasetException e = Assert.Throws<DatasetException>(() => Datasets.Read(path));

        Assert.StartsWith(path + ":2: ", e.Message, StringComparison.Ordinal);
        Assert.Contains(what, e.Message, StringComparison.Ordinal);
    }
}
