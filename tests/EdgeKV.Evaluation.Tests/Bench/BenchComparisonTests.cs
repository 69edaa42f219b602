using EdgeKV.Models;

namespace EdgeKV.Evaluation.Tests.Bench;

public class BenchComparisonTests
{
    [Theory]
    [InlineData(10, 9, 11, 20, 19, 21, true, BenchVerdict.Better)]
    [InlineData(10, 9, 11, 20, 19, 21, false, BenchVerdict.Worse)]
    [InlineData(20, 19, 21, 10, 9, 11, true, BenchVerdict.Worse)]
    [InlineData(20, 19, 21, 10, 9, 11, false, BenchVerdict.Better)]
    [InlineData(10, 8, 12, 11, 9, 13, true, BenchVerdict.Same)]
    [InlineData(10, 10, 10, 10.1, 10.1, 10.1, true, BenchVerdict.Same)]
    public void Judge_TwoMeasurements_LooksAtTheSpreads(
        double before, double low, double high, double after, double lower, double upper, bool moreIsBetter, BenchVerdict expected) =>
        Assert.Equal(
            expected,
            BenchComparison.Judge(new Measured(before, low, high, low, high, 5), new Measured(after, lower, upper, lower, upper, 5), moreIsBetter));

    [Fact]
    public void Judge_TooFewMeasurements_IsUnknown() =>
        Assert.Equal(BenchVerdict.Unknown, BenchComparison.Judge(Measured.Of(1, 2), Measured.Of(5, 6, 7), moreIsBetter: true));

    [Fact]
    public void Of_SlowerDecoding_NamesTheRatioAndBothFigures()
    {
        BenchComparison comparison = BenchComparison.Of(FakeBench.Report(FakeBench.Series()), FakeBench.Report(FakeBench.Series(step: 0.0125)));

        BenchChange[] changed = [.. comparison.Changes.Where(change => change.Verdict != BenchVerdict.Same)];
        Assert.Equal([("speed-up", true), ("tokens/s", false)], changed.Select(change => (change.Figure, change.IsRelative)));
        Assert.All(changed, change =>
        {
            Assert.Equal((1000, KvCacheType.Q8_0, 0.5), (change.Depth, change.CacheType, change.Ratio));
            Assert.Equal(BenchVerdict.Worse, change.Verdict);
            Assert.Equal(-0.2, change.Change, 9);
        });
        Assert.Empty(comparison.Differences);
    }

    [Fact]
    public void Of_OtherMachineModelAndCells_NamesThem()
    {
        BenchReport before = FakeBench.Report(FakeBench.Series());
        BenchReport after = before with
        {
            Machine = before.Machine with { Processor = "Slide rule" },
            Model = before.Model with { Sha256 = "fedcba9876543210" },
            Series = [before.Series[0] with { Depth = 2000 }],
        };

        BenchComparison comparison = BenchComparison.Of(before, after);

        Assert.Equal(
            [
                "machine: Abacus, 2 cores, None, .NET before, Slide rule, 2 cores, None, .NET now",
                "model: a.gguf (0123456789ab) before, a.gguf (fedcba987654) now",
            ],
            comparison.Differences);
        Assert.Empty(comparison.Changes);
        Assert.Equal(["1000 tokens, q8_0, ratio 0.5"], comparison.OnlyBefore);
        Assert.Equal(["2000 tokens, q8_0, ratio 0.5"], comparison.OnlyAfter);
    }
}
