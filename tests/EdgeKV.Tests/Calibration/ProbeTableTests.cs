using EdgeKV.Calibration;

namespace EdgeKV.Tests.Calibration;

/// <summary>The least-squares fit behind probed scores.</summary>
public class ProbeTableTests
{
    [Fact]
    public void Fit_TargetsThatFollow_FindsTheNumbers()
    {
        var random = new Random(1);
        (double Y, double P, double T)[] rows = [.. Enumerable.Range(0, 200).Select(_ =>
        {
            double y = -8 + random.NextDouble();
            double p = -5 - 3 * random.NextDouble();
            return (y, p, 0.75 * y + 0.5 * p - 2);
        })];
        float[] found = new float[3];

        (double without, double with) = ProbeTable.Fit(Sums(rows), found);

        Assert.Equal([0.75, 0.5, -2], found.Select(number => (double)number), (one, other) => Math.Abs(one - other) < 1e-4);
        Assert.Equal(1, with, 6);

        double mean = rows.Average(row => row.T);
        Assert.Equal(1 - rows.Sum(row => Math.Pow(row.T - row.Y, 2)) / rows.Sum(row => Math.Pow(row.T - mean, 2)), without, 6);
    }

    [Fact]
    public void Fit_NoisyTargets_NothingNearIsBetter()
    {
        var random = new Random(2);
        (double Y, double P, double T)[] rows =
            [.. Enumerable.Range(0, 50).Select(_ => (random.NextDouble(), random.NextDouble(), random.NextDouble()))];
        float[] found = new float[3];

        _ = ProbeTable.Fit(Sums(rows), found);

        double best = Error(found[0], found[1], found[2]);
        foreach (float step in (float[])[-0.01f, 0.01f])
        {
            Assert.True(Error(found[0] + step, found[1], found[2]) > best);
            Assert.True(Error(found[0], found[1] + step, found[2]) > best);
            Assert.True(Error(found[0], found[1], found[2] + step) > best);
        }

        double Error(double a, double b, double c) => rows.Sum(row => Math.Pow(a * row.Y + b * row.P + c - row.T, 2));
    }

    [Fact]
    public void Fit_ProbeThatTellsNothingApart_LeavesTheLearnedScores()
    {
        float[] found = new float[3];

        (double without, double with) = ProbeTable.Fit(Sums([(1, -16, 2), (2, -16, 4), (3, -16, 5)]), found);

        Assert.Equal([1, 0, 0], found);
        Assert.Equal(without, with);
    }

    private static double[] Sums((double Y, double P, double T)[] rows) =>
    [
        rows.Length, rows.Sum(r => r.Y), rows.Sum(r => r.P), rows.Sum(r => r.T), rows.Sum(r => r.Y * r.Y), rows.Sum(r => r.Y * r.P),
        rows.Sum(r => r.P * r.P), rows.Sum(r => r.Y * r.T), rows.Sum(r => r.P * r.T), rows.Sum(r => r.T * r.T),
    ];
}
