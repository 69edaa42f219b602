using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;
using EdgeKV.Tests.Scoring;

namespace EdgeKV.Tests.Policies.Scorers;

public class KeyDiffTests
{
    [Fact]
    public void Score_FourKeys_IsTheNegativeCosineToTheMeanDirection()
    {
        // Directions (1, 0), (0, 1), (0, 1) and none: their sum is (1, 2), and only directions count.
        float[] keys = [5, 0, 0, 2, 0, 0.5f, 0, 0];
        using RowScores scores = Of(keys);

        float[] own = ScorerAssert.Scores(new KeyDiff(), scores.For(new KeyDiff()));

        float root = MathF.Sqrt(5);
        Assert.Equal([-1 / root, -2 / root, -2 / root, 0], own, (x, y) => Math.Abs(x - y) < 1e-6);
        Assert.Equal([0, 3], new KeyDiff { Ratio = 0.5 }.Plan(scores.Scores).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_KeysAllAlike_KeepsEarlierPosition()
    {
        using RowScores scores = Of([1, 1, 2, 2, 4, 4, 8, 8]);

        Assert.Equal([0, 1], new KeyDiff { Ratio = 0.5 }.Plan(scores.For(new KeyDiff())).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_KeyThatIsNoNumber_SaysWhere()
    {
        using RowScores scores = Of([1, 0, float.NaN, 1, 0, 1, 1, 1]);

        PlanException error = Assert.Throws<PlanException>(() => new KeyDiff().Plan(scores.For(new KeyDiff())));

        // It is part of what all keys of the head are compared with.
        Assert.Equal("Layer 0, KV head 0, token 0 has key likeness NaN: not a finite number.", error.Message);
    }

    [Fact]
    public void Plan_KeysAllZero_KeepsEarlierPosition()
    {
        using RowScores scores = Of(new float[8]);

        Assert.Equal([0, 1], new KeyDiff { Ratio = 0.5 }.Plan(scores.For(new KeyDiff())).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Score_RandomRows_EqualsTheDefinition()
    {
        for (int seed = 0; seed < 20; seed++)
        {
            using RowScores drawn = RowScores.Random(seed, tokens: 1 + 3 * seed);
            ScorerAssert.EqualDefinition(new KeyDiff(), drawn.For(new KeyDiff()), (layer, head) => ByDefinition(drawn.Rows, layer, head));
        }
    }

    private static RowScores Of(float[] keys) => RowScores.Of(new TestRows(1, 1, 4, keys), heads: 1);

    private static double[] ByDefinition(TestRows rows, int layer, int head)
    {
        double[][] keys = [.. Enumerable.Range(0, rows.Tokens).Select(j => rows.Row(RowKind.Keys, layer, head, j).Select(x => (double)x).ToArray())];
        double[] centre = [.. Enumerable.Range(0, keys[0].Length).Select(i => keys.Average(key => key[i] / Norm(key)))];
        return [.. keys.Select(key => -key.Zip(centre, (x, y) => x * y).Sum() / (Norm(key) * Norm(centre)))];
    }

    private static double Norm(double[] vector) => Math.Sqrt(vector.Sum(x => x * x));
}
