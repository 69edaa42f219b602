namespace EdgeKV.Evaluation.Tests.Runs;

/// <summary>Which samples are drawn.</summary>
public sealed class SampleChoiceTests
{
    private static readonly EvalSample[] Samples = [.. Enumerable.Range(0, 40).Select(i => new EvalSample
    {
        Dataset = "d",
        Task = i < 30 ? "long" : "short",
        Id = $"{i}",
        Context = "c",
        Question = "q",
        Answers = ["a"],
        Metric = MetricNames.MatchAll,
        NewTokens = 1,
        Source = $"line {i}",
    })];

    [Fact]
    public void Take_EveryTask_HasItsShareInOrder()
    {
        IReadOnlyList<EvalSample> taken = SampleChoice.Take(Samples, 12, seed: 1);

        Assert.Equal(12, taken.Count(sample => sample.Task == "long"));
        Assert.Equal(10, taken.Count(sample => sample.Task == "short"));
        Assert.Equal(taken.Select(sample => int.Parse(sample.Id, null)).Order(), taken.Select(sample => int.Parse(sample.Id, null)));
    }

    [Fact]
    public void Take_More_KeepsThoseOfLess()
    {
        IReadOnlyList<EvalSample> few = SampleChoice.Take(Samples, 5, seed: 3);

        Assert.Subset(SampleChoice.Take(Samples, 6, seed: 3).ToHashSet(), few.ToHashSet());
        Assert.NotEqual(few.Select(sample => sample.Id), SampleChoice.Take(Samples, 5, seed: 4).Select(sample => sample.Id));
    }
}
