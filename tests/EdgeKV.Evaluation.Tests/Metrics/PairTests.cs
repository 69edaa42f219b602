using System.Text.Json;
using EdgeKV.Measurements.Subjects;

namespace EdgeKV.Evaluation.Tests;

/// <summary>The metrics against what their originals give for the pairs of the folder Pairs.</summary>
public sealed class PairTests
{
    private const int Pairs = 200;

    [Theory]
    [InlineData(MetricNames.MatchAll)]
    [InlineData(MetricNames.MatchAny)]
    [InlineData(MetricNames.ExactMatch)]
    [InlineData(MetricNames.F1)]
    [InlineData(MetricNames.RougeL)]
    [InlineData(MetricNames.Classification)]
    [InlineData(MetricNames.Retrieval)]
    [InlineData(MetricNames.Count)]
    [InlineData(MetricNames.EditSimilarity)]
    public void Score_StoredPairs_AgreesWithTheOriginal(string metric)
    {
        string path = Path.Combine(Places.Checkout, "tests", "EdgeKV.Evaluation.Tests", "Pairs", metric + ".jsonl");
        string[] lines = File.ReadAllLines(path);
        List<string> wrong = [];
        foreach ((int number, string line) in lines.Index())
        {
            using JsonDocument json = JsonDocument.Parse(line);
            JsonElement pair = json.RootElement;
            double score = Metrics.Score(Sample(metric, pair), pair.GetProperty("answer").GetString()!);
            double expected = pair.GetProperty("expected").GetDouble();
            if (Math.Abs(score - expected) > 1e-12)
            {
                wrong.Add($"{number + 1}: {score}, not {expected}: {line}");
            }
        }

        Assert.Equal(Pairs, lines.Length);
        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
    }

    private static EvalSample Sample(string metric, JsonElement pair) => new()
    {
        Dataset = "pairs",
        Task = metric,
        Id = "0",
        Context = string.Empty,
        Question = string.Empty,
        Answers = Texts(pair.GetProperty("references")),
        Classes = pair.TryGetProperty("classes", out JsonElement classes) ? Texts(classes) : [],
        Metric = metric,
        NewTokens = 1,
        StopsAtNewline = pair.TryGetProperty("first_line", out JsonElement first) && first.GetBoolean(),
        Source = "pairs",
    };

    private static string[] Texts(JsonElement list) => [.. list.EnumerateArray().Select(text => text.GetString()!)];
}
