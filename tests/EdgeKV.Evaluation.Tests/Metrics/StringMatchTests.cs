namespace EdgeKV.Evaluation.Tests;

public sealed class StringMatchTests
{
    [Theory]
    [InlineData("7 and 8.", 1.0, 1.0)]
    [InlineData("Only 8.", 0.5, 1.0)]
    [InlineData("", 0.0, 0.0)]
    public void Score_TwoReferences_IsTheShareOrWhetherOneIsFound(string answer, double all, double any)
    {
        Assert.Equal(all, Metrics.Score(Sample(MetricNames.MatchAll, "7", "8"), answer));
        Assert.Equal(any, Metrics.Score(Sample(MetricNames.MatchAny, "7", "8"), answer));
    }

    [Fact]
    public void Score_ControlCharacters_BecomeNewlines()
    {
        Assert.Equal(1.0, Metrics.Score(Sample(MetricNames.MatchAll, "a\nb"), "\u0000 A\tB \u001f"));
        Assert.Equal(0.0, Metrics.Score(Sample(MetricNames.MatchAll, "a\tb"), "a\tb"));
    }

    [Fact]
    public void Score_Perplexity_IsRefused() =>
        Assert.Throws<ArgumentException>(() => Metrics.Score(Sample(MetricNames.Perplexity, "a"), "a"));

    [Fact]
    public void Score_NoAnswers_IsRefused() => Assert.Throws<ArgumentException>(() => Metrics.Score(Sample(MetricNames.MatchAll), "a"));

    private static EvalSample Sample(string metric, params string[] answers) => new()
    {
        Dataset = "test",
        Task = "test",
        Id = "0",
        Context = "context",
        Question = "question",
        Answers = answers,
        Metric = metric,
        NewTokens = 1,
        Source = "test:1",
    };
}
