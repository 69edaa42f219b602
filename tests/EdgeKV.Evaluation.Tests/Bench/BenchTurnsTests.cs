namespace EdgeKV.Evaluation.Tests.Bench;

public class BenchTurnsTests
{
    [Fact]
    public void Sum_Decoding_HasBothIdeals()
    {
        BenchCell cell = Assert.Single(FakeBench.Series().Cells);

        // 5 ms and half of the 15 ms that the full cache costs; 4000 bytes of weights beside 2000 and 1000 of rows.
        Assert.Equal(0.5, cell.RatioAchieved);
        Assert.Equal(100, cell.Decode.Median, 9);
        Assert.Equal(2, cell.SpeedUp.Median, 9);
        Assert.Equal(20 / 12.5, cell.IdealByTime.Median, 9);
        Assert.Equal(1.25, cell.OfIdealByTime.Median, 9);
        Assert.Equal(1.2, cell.IdealByBytes, 9);
        Assert.Equal(2 / 1.2, cell.OfIdealByBytes.Median, 9);
    }

    [Fact]
    public void Sum_Reading_HasRatesAndWhatLearnedScoresAdd()
    {
        BenchSeries series = FakeBench.Series();

        Assert.Equal(100, series.Prefill.Median, 9);
        Assert.Equal(1000 / 11.0, series.LearnedPrefill!.Median, 9);
        Assert.Equal(1, series.LearnedSeconds!.Median, 9);
        Assert.Equal(1.1, series.LearnedOverPrefill!.Median, 9);
        Assert.Equal(12.1 / 11, series.Cells[0].FirstTokenOverFull.Median, 9);
        Assert.Equal(50, series.Full.Decode.Median, 9);
        Assert.Equal(200, series.Full.EmptyDecode.Median, 9);
    }

    [Fact]
    public void Sum_NoProfileAndNoPass_LeavesThemOut()
    {
        BenchSeries series = FakeBench.Series(learned: false);

        Assert.Null(series.LearnedPrefill);
        Assert.Null(series.LearnedSeconds);
        Assert.Null(series.PassSeconds);
        Assert.Equal(0, series.PassTokens);
    }
}
