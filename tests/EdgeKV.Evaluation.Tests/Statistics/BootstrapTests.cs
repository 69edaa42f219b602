namespace EdgeKV.Evaluation.Tests.Statistics;

public class BootstrapTests
{
    [Fact]
    public void Percentile_BetweenValues_IsLinear()
    {
        double[] sorted = [0, 10, 20, 30, 40];

        Assert.Equal(0, Bootstrap.Percentile(sorted, 0));
        Assert.Equal(20, Bootstrap.Percentile(sorted, 0.5));
        Assert.Equal(1, Bootstrap.Percentile(sorted, 0.025), 12);
        Assert.Equal(40, Bootstrap.Percentile(sorted, 1));
        Assert.Equal(7, Bootstrap.Percentile([7], 0.975));
    }

    [Fact]
    public void Draw_EveryDraw_HasAsManyAsSamples()
    {
        int[] counts = new Bootstrap { Resamples = 50 }.Draw(samples: 7, stream: 3);

        Assert.Equal(50 * 7, counts.Length);
        Assert.All(counts.Chunk(7), draw => Assert.Equal(7, draw.Sum()));
        Assert.True(counts.Chunk(7).DistinctBy(draw => string.Join(' ', draw)).Count() > 40);
    }

    [Fact]
    public void Draw_SameSeed_IsTheSame()
    {
        Bootstrap bootstrap = new() { Resamples = 20 };

        Assert.Equal(bootstrap.Draw(9, 0), bootstrap.Draw(9, 0));
        Assert.NotEqual(bootstrap.Draw(9, 0), bootstrap.Draw(9, 1));
        Assert.NotEqual(bootstrap.Draw(9, 0), (bootstrap with { Seed = 2 }).Draw(9, 0));
    }

    [Fact]
    public void Means_HandComputed_WeighsAndLeavesOutWhatIsMissing()
    {
        double[] means = new double[3];

        Bootstrap.Means([1, 0, double.NaN], [1, 1, 1, 2, 1, 0, 0, 0, 3], means);

        Assert.Equal([0.5, 2.0 / 3, double.NaN], means);
    }

    [Fact]
    public void Around_SharesOfManySamples_IsTheNormalInterval()
    {
        // 100 samples, half of them right: a standard error of 0.05.
        double[] scores = [.. Enumerable.Range(0, 100).Select(i => (double)(i % 2))];
        Bootstrap bootstrap = new();
        double[] means = new double[bootstrap.Resamples];
        Bootstrap.Means(scores, bootstrap.Draw(100, 0), means);

        Estimate estimate = bootstrap.Around(0.5, means);

        Assert.Equal(0.5 - (1.96 * 0.05), estimate.Low, 0.015);
        Assert.Equal(0.5 + (1.96 * 0.05), estimate.High, 0.015);
    }

    [Fact]
    public void Around_NoDrawThatSaysAnything_IsTheValue() =>
        Assert.Equal(new Estimate(0.25, 0.25, 0.25), new Bootstrap().Around(0.25, [double.NaN, double.NaN]));
}
