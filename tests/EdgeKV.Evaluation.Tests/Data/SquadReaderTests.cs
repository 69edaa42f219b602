namespace EdgeKV.Evaluation.Tests.Data;

public sealed class SquadReaderTests : IDisposable
{
    private const string Json = """
        {
          "version": "v2.0",
          "data": [
            {
              "title": "Rivers",
              "paragraphs": [
                {
                  "context": "The Ouse is long. It ends at the sea.",
                  "qas": [
                    { "id": "a1", "question": " Where does it end?", "answers": [{ "text": "the sea", "answer_start": 29 }, { "text": "the sea", "answer_start": 29 }, { "text": "sea", "answer_start": 33 }], "is_impossible": false },
                    { "id": "a2", "question": "How deep is it?", "answers": [], "is_impossible": true }
                  ]
                },
                { "context": "Second.", "qas": [{ "id": "a3", "question": "Which?", "answers": [{ "text": "Second", "answer_start": 0 }] }] }
              ]
            }
          ]
        }
        """;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Read_BothVersions_LeavesOutWhatHasNoAnswer()
    {
        IReadOnlyList<EvalSample> samples = Datasets.Read(_folder.File("dev-v2.0.json", Json));

        Assert.Equal(["a1", "a3"], samples.Select(sample => sample.Id));
        Assert.Equal(("squad", "squad", MetricNames.F1, true), (samples[0].Dataset, samples[0].Task, samples[0].Metric, samples[0].StopsAtNewline));
        Assert.Equal(["the sea", "sea"], samples[0].Answers);
        Assert.EndsWith("\n\nThe Ouse is long. It ends at the sea.\n\n", samples[0].Context, StringComparison.Ordinal);
        Assert.StartsWith("Question: Where does it end?\n", samples[0].Question, StringComparison.Ordinal);
    }

    [Fact]
    public void Read_OnOneLine_IsTheSame()
    {
        string line = Json.ReplaceLineEndings(" ");

        Assert.Equal(
            Datasets.Read(_folder.File("a.json", Json)).Select(sample => (sample.Id, sample.Context)),
            Datasets.Read(_folder.File("b.json", line)).Select(sample => (sample.Id, sample.Context)));
    }

    [Theory]
    [InlineData("\"context\": \"Second.\"", "\"text\": \"Second.\"", ", data[0], paragraphs[1]: the field \"context\" is missing")]
    [InlineData("\"id\": \"a3\"", "\"name\": \"a3\"", ", data[0], paragraphs[1], qas[0]: the field \"id\" is missing")]
    [InlineData("\"is_impossible\": true", "\"is_impossible\": false", ", data[0], paragraphs[0], qas[1]: the field \"answers\" is an empty list")]
    [InlineData("\"qas\": [{", "\"qas\": [7, {", ", data[0], paragraphs[1], qas[0]: this is the number 7, not an object")]
    [InlineData("\"context\": \"Second.\"", "\"context\": \"\"", ", data[0], paragraphs[1]: the field \"context\" is empty")]
    [InlineData("\"question\": \"Which?\"", "\"question\": \" \"", ", data[0], paragraphs[1], qas[0]: the field \"question\" is empty")]
    [InlineData("\"text\": \"Second\"", "\"text\": \"\"", ", data[0], paragraphs[1], qas[0], answers[0]: the field \"text\" is empty")]
    [InlineData("\"id\": \"a3\"", "\"id\": \"a3\", \"id\": \"a4\"", ": a key is given twice (Duplicate property 'id'")]
    [InlineData("\"data\": [", "\"date\": [", ": the field \"data\" is missing")]
    [InlineData("\"title\": \"Rivers\",", "\"title\": \"Rivers\"", ": this is not JSON (line 6, byte ")]
    public void Read_BadPlace_IsNamed(string from, string to, string what)
    {
        string path = _folder.File("dev.json", Json.Replace(from, to, StringComparison.Ordinal));

        DatasetException e = Assert.Throws<DatasetException>(() => Datasets.Read(path));

        Assert.StartsWith(path, e.Message, StringComparison.Ordinal);
        Assert.Contains(what, e.Message, StringComparison.Ordinal);
    }
}
