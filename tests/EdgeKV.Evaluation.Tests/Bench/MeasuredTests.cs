namespace EdgeKV.Evaluation.Tests.Bench;

public class MeasuredTests
{
    [Fact]
    public void Of_FiveValues_HasTheirQuartiles()
    {
        Measured measured = Measured.Of(5, 1, 4, 2, 3);

        Assert.Equal(new Measured(3, 2, 4, 1, 5, 5), measured);
        Assert.Equal(2, measured.Spread);
    }

    [Fact]
    public void Of_FourValues_Interpolates() => Assert.Equal(new Measured(2.5, 1.75, 3.25, 1, 4, 4), Measured.Of(4, 3, 2, 1));

    [Fact]
    public void Of_TwoValues_HasNoSpread()
    {
        Assert.Null(Measured.Of(1, 2).Spread);
        Assert.Equal(new Measured(7, 7, 7, 7, 7, 1), Measured.Of(7));
    }

    [Fact]
    public void Of_Nothing_Throws() => Assert.Throws<ArgumentException>(() => Measured.Of());

    // The machine was half as fast in the second round, on both sides.
    [Fact]
    public void Pairs_SlowRound_LeavesTheRatioAlone()
    {
        Measured measured = Measured.Pairs([2, 4, 2], [1, 2, 1], (first, second) => first / second);

        Assert.Equal(new Measured(2, 2, 2, 2, 2, 3), measured);
    }

    [Fact]
    public void Pairs_OfDifferentLengths_Throws() => Assert.Throws<ArgumentException>(() => Measured.Pairs([1, 2], [1], (a, b) => a + b));
}
