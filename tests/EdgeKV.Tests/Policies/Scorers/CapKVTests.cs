using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;
using EdgeKV.Tests.Scoring;
using MathNet.Numerics.LinearAlgebra;

namespace EdgeKV.Tests.Policies.Scorers;

public class CapKVTests
{
    [Fact]
    public void Score_TwoRows_WeighsWhatTheyAdd()
    {
        // Cosines 1 and 0 to the query, so weights 1 and 1/2; the matrix is 1 + 1 * 2^2 + 1/2 * 4^2 = 13.
        using RowScores drawn = Of([5, 5, 1, 0, 0, 3], [7, 2, 4], [4, 0]);
        var policy = new CapKV { Sinks = 1, Sharpness = Math.Log(2) };
        AttentionScores scores = drawn.For(policy);

        float[] own = ScorerAssert.Scores(policy, scores);

        Assert.Equal([4 / 13f, 8 / 13f], own[1..], (x, y) => Math.Abs(x - y) < 1e-6);
        Assert.Equal([0, 2], (policy with { Ratio = 0.3 }).Plan(scores).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Score_HalfATurnAhead_LooksForTheOtherKeys()
    {
        // One position ahead of three tokens, a turn of pi a position: the query comes to point the other way.
        var rotary = new RotaryEncoding([Math.PI], RotaryPairs.Adjacent);
        using RowScores scores = Of([1, 0, -1, 0, 1, 0], [1, 1, 1], [1, 0], rotary);
        var policy = new CapKV { Sinks = 0, Ahead = 1, Ratio = 0.6 };

        Assert.Equal([1], policy.Plan(scores.For(policy)).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_EqualRows_KeepsEarlierPosition()
    {
        using RowScores scores = Of([1, 0, 1, 0, 1, 0], [1, 1, 1], [1, 0]);
        var policy = new CapKV { Sinks = 0, Ratio = 0.3 };

        Assert.Equal([0, 1], policy.Plan(scores.For(policy)).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Score_KeyOrQueryOfNoLength_HasACosineOfZero()
    {
        // Weights 1/2 and 1, so 1 + 1/2 + 1.
        var policy = new CapKV { Sinks = 1, Sharpness = Math.Log(2) };
        using RowScores key = Of([1, 0, 0, 0, 1, 0], [1, 1, 1], [1, 0]);
        using RowScores query = Of([1, 0, 1, 0, 0, 1], [1, 1, 1], [0, 0]);

        Assert.Equal([0.2f, 0.4f], ScorerAssert.Scores(policy, key.For(policy))[1..], (x, y) => Math.Abs(x - y) < 1e-6);
        Assert.Equal([1 / 3f, 1 / 3f], ScorerAssert.Scores(policy, query.For(policy))[1..], (x, y) => Math.Abs(x - y) < 1e-6);
    }

    [Theory]
    [InlineData(float.NaN, 1f)]
    [InlineData(1f, float.NaN)]
    [InlineData(1f, float.PositiveInfinity)]
    public void Plan_RowThatIsNoNumber_Throws(float key, float value)
    {
        using RowScores scores = Of([1, 0, key, 0, 1, 0], [1, 1, value], [1, 0]);
        var policy = new CapKV { Sinks = 1 };

        PlanException error = Assert.Throws<PlanException>(() => policy.Plan(scores.For(policy)));

        Assert.Contains("not a finite number", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Score_RandomRows_EqualsTheDefinition()
    {
        for (int seed = 0; seed < 20; seed++)
        {
            // Moments are known of the tokens from 4 on.
            var policy = new CapKV { Sharpness = seed / 3.0, Ahead = 1 + 5 * seed };
            using RowScores drawn = RowScores.Random(seed, tokens: 5 + 4 * seed, group: 1 + seed % 3);
            ScorerAssert.EqualDefinition(policy, drawn.For(policy), (layer, head) => ByDefinition(policy, drawn, layer, head), tolerance: 1e-4);
        }
    }

    [Fact]
    public void Options_OutOfRange_Throw()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new CapKV { Sinks = -1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new CapKV { Ahead = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new CapKV { Sharpness = -1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new CapKV { Sharpness = double.NaN });
    }

    // One layer and head, three tokens; keys of two numbers, values of one. The query's mean is one for all sinks.
    private static RowScores Of(float[] keys, float[] values, float[] query, RotaryEncoding? rotary = null) => RowScores.Of(
        new TestRows(1, 1, 3, keys, values) { Rotary = rotary ?? new RotaryEncoding([], RotaryPairs.Adjacent) },
        heads: 1,
        [
            new(new QueryMoments(QueryMoment.Mean, 0), new StatisticValues(TestScores.Buffer(query))),
            new(new QueryMoments(QueryMoment.Mean, 1), new StatisticValues(TestScores.Buffer(query))),
        ]);

    private static double[] ByDefinition(CapKV policy, RowScores drawn, int layer, int kvHead)
    {
        int tokens = drawn.Scores.Tokens;
        int group = drawn.Scores.GroupSize(0);
        double[] mean = new double[tokens];
        for (int head = kvHead * group; head < (kvHead + 1) * group; head++)
        {
            Vector<double> query = FutureQueriesByDefinition.Of(drawn.Scores, layer, head, policy.Sinks, policy.Ahead).Mean;
            int[] scored = [.. Enumerable.Range(policy.Sinks, tokens - policy.Sinks)];
            double[] cosines = [.. scored.Select(j => Row(RowKind.Keys, j) * query / (Row(RowKind.Keys, j).L2Norm() * query.L2Norm()))];
            double[] weights = [.. cosines.Select(cosine => Math.Exp(policy.Sharpness * (cosine - cosines.Max())))];
            Matrix<double> matrix = Matrix<double>.Build.DenseIdentity(RowScores.HeadSize + 1);
            foreach (int j in scored)
            {
                matrix += weights[j - policy.Sinks] * Row(RowKind.Values, j).OuterProduct(Row(RowKind.Values, j));
            }

            foreach (int j in scored)
            {
                mean[j] += weights[j - policy.Sinks] * (Row(RowKind.Values, j) * (matrix.Inverse() * Row(RowKind.Values, j))) / group;
            }
        }

        return mean;

        Vector<double> Row(RowKind kind, int token) =>
            Vector<double>.Build.Dense([.. drawn.Rows.Row(kind, layer, kvHead, token).Select(x => (double)x)]);
    }
}
