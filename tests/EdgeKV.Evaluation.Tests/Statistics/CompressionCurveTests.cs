namespace EdgeKV.Evaluation.Tests.Statistics;

public class CompressionCurveTests
{
    private static readonly CompressionCurve Grid = Curve(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9);

    [Fact]
    public void Of_WholeGridAndMore_IsTheGrid()
    {
        CompressionCurve curve = Curve([.. Enumerable.Range(1, 9).Select(step => step * 0.1), 0.75, 0.95]);

        Assert.True(curve.IsGrid);
        Assert.Equal([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], curve.Ratios);
        Assert.Equal("AUC", curve.AucName);
    }

    [Fact]
    public void Of_PartOfTheGrid_IsWhatThereIsAndSaysSo()
    {
        CompressionCurve curve = Curve(0.8, 0.5, 0.95);

        Assert.False(curve.IsGrid);
        Assert.Equal([0, 0.5, 0.8], curve.Ratios);
        Assert.Equal("AUC over 0–0.8, 3 points", curve.AucName);
    }

    [Fact]
    public void Of_NoRatioUpToTheLast_IsNone()
    {
        Assert.Null(CompressionCurve.Of([new EvalBudget(null, 256), new EvalBudget(null, 512)]));
        Assert.Null(CompressionCurve.Of([new EvalBudget(0.95, null)]));
        Assert.Null(CompressionCurve.Of([]));
    }

    [Fact]
    public void Auc_Lossless_IsOne()
    {
        Assert.Equal(1, Grid.Auc([1, 1, 1, 1, 1, 1, 1, 1, 1, 1]), 12);
        Assert.Equal(1, Curve(0.5, 0.8).Auc([1, 1, 1]), 12);
    }

    [Fact]
    public void Auc_HandComputed_IsTheTrapezoids()
    {
        // Eight whole steps of 0.1 and half of one, over 0.9.
        Assert.Equal(0.85 / 0.9, Grid.Auc([1, 1, 1, 1, 1, 1, 1, 1, 1, 0]), 12);

        // 0.5 wide at 0.9 on average, 0.3 wide at 0.5, over 0.8.
        Assert.Equal((0.45 + 0.15) / 0.8, Curve(0.5, 0.8).Auc([1, 0.8, 0.2]), 12);
    }

    [Fact]
    public void Auc_RandomCurves_IsTheSumByDefinition()
    {
        Random random = new(5);
        for (int round = 0; round < 100; round++)
        {
            double[] relative = [1, .. Enumerable.Range(0, 9).Select(_ => random.NextDouble() * 1.2)];

            double sum = 0;
            for (int i = 0; i < 9; i++)
            {
                sum += 0.1 * (relative[i] + relative[i + 1]) / 2;
            }

            Assert.Equal(1 / 0.9 * sum, Grid.Auc(relative), 12);
        }
    }

    [Theory]
    [InlineData(0.05, 0.3)]
    [InlineData(0.1, 0.4)]
    [InlineData(0.2, 0.7)]
    public void MaximumCompression_DipAndRecovery_StopsBeforeTheDip(double tolerance, double expected) =>
        Assert.Equal(expected, Grid.MaximumCompression([1, 1.1, 1, 0.95, 0.9, 0.85, 0.85, 0.8, 0.7, 1], tolerance), 12);

    [Fact]
    public void MaximumCompression_LossAtTheFirstRatio_IsZero() => Assert.Equal(0, Grid.MaximumCompression([1, 0.9, 1, 1, 1, 1, 1, 1, 1, 1], 0.05));

    [Fact]
    public void MaximumCompression_NothingLost_IsTheLast() => Assert.Equal(0.9, Grid.MaximumCompression([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], 0.05));

    [Fact]
    public void MaximumCompression_JustTheShare_IsEnough()
    {
        // 0.3 + 0.6 is below 0.9 in double.
        Assert.Equal(0.5, Curve(0.5, 0.8).MaximumCompression([1, 0.3 + 0.6, 0], 0.1));
        Assert.True(0.3 + 0.6 < 0.9);
    }

    [Fact]
    public void Auc_WrongCount_IsRefused() => Assert.Throws<ArgumentException>(() => Grid.Auc([1, 1]));

    private static CompressionCurve Curve(params double[] ratios) => CompressionCurve.Of(ratios.Select(ratio => new EvalBudget(ratio, null)))!;
}
