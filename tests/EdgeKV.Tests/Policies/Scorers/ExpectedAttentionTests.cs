using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;
using EdgeKV.Tests.Scoring;
using MathNet.Numerics.LinearAlgebra;

namespace EdgeKV.Tests.Policies.Scorers;

public class ExpectedAttentionTests
{
    [Theory]
    [InlineData(0, 0.5f, 2f)]
    [InlineData(1, 2f, 5f)]
    public void Score_TwoRows_IsTheExpectedAttentionTimesTheValue(double epsilon, float first, float second)
    {
        // z = k^2 ln 2, so 0 and ln 2: attention 1/3 and 2/3 on values of 1.5 and 3.
        using RowScores drawn = Of([9, 0, 1], [1, 1.5f, 3], mean: 0, covariance: 2 * MathF.Log(2));
        var policy = new ExpectedAttention { Sinks = 1, Epsilon = epsilon };
        AttentionScores scores = drawn.For(policy);

        float[] own = ScorerAssert.Scores(policy, scores);

        Assert.Equal([first, second], own[1..], (x, y) => Math.Abs(x - y) < 1e-5);
        Assert.Equal([0, 2], (policy with { Ratio = 0.3 }).Plan(scores).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Score_MeanQueryOnly_IsItsSoftmax()
    {
        using RowScores scores = Of([9, 0, 1], [1, 1, 1], mean: MathF.Log(3), covariance: 0);
        var policy = new ExpectedAttention { Sinks = 1 };

        Assert.Equal([0.25f, 0.75f], ScorerAssert.Scores(policy, scores.For(policy))[1..], (x, y) => Math.Abs(x - y) < 1e-6);
    }

    [Fact]
    public void Plan_EqualRows_KeepsEarlierPosition()
    {
        using RowScores scores = Of([2, 2, 2], [1, 1, 1], mean: 1, covariance: 1);
        var policy = new ExpectedAttention { Sinks = 1, Ratio = 0.3 };

        Assert.Equal([0, 1], policy.Plan(scores.For(policy)).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_KeyThatIsNoNumber_Throws()
    {
        using RowScores scores = Of([1, float.NaN, 1], [1, 1, 1], mean: 1, covariance: 1);
        var policy = new ExpectedAttention { Sinks = 1 };

        Assert.Throws<PlanException>(() => policy.Plan(scores.For(policy)));
    }

    [Fact]
    public void Score_RandomRows_EqualsTheDefinition()
    {
        for (int seed = 0; seed < 20; seed++)
        {
            var policy = new ExpectedAttention { Ahead = 1 + 5 * seed, Epsilon = seed % 2 * 0.01 };
            using RowScores drawn = RowScores.Random(seed, tokens: 5 + 4 * seed, group: 1 + seed % 3);
            ScorerAssert.EqualDefinition(policy, drawn.For(policy), (layer, head) => ByDefinition(policy, drawn, layer, head), tolerance: 1e-4);
        }
    }

    [Fact]
    public void Options_OutOfRange_Throw()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new ExpectedAttention { Sinks = -1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new ExpectedAttention { Ahead = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new ExpectedAttention { Epsilon = -1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new ExpectedAttention { Epsilon = double.PositiveInfinity });
    }

    // One layer and head, three tokens of one number, the first of them a sink.
    private static RowScores Of(float[] keys, float[] values, float mean, float covariance) => RowScores.Of(
        new TestRows(1, 1, 3, keys, values),
        heads: 1,
        [
            new(new QueryMoments(QueryMoment.Mean, 1), new StatisticValues(TestScores.Buffer([mean]))),
            new(new QueryMoments(QueryMoment.Covariance, 1), new StatisticValues(TestScores.Buffer([covariance]))),
        ]);

    private static double[] ByDefinition(ExpectedAttention policy, RowScores drawn, int layer, int kvHead)
    {
        int tokens = drawn.Scores.Tokens;
        int group = drawn.Scores.GroupSize(0);
        double[] scores = new double[tokens];
        for (int head = kvHead * group; head < (kvHead + 1) * group; head++)
        {
            (Vector<double> mean, Matrix<double> covariance) =
                FutureQueriesByDefinition.Of(drawn.Scores, layer, head, policy.Sinks, policy.Ahead);
            double[] weights = new double[tokens];
            for (int j = policy.Sinks; j < tokens; j++)
            {
                Vector<double> key = Row(RowKind.Keys, j);
                weights[j] = Math.Exp(key * mean / Math.Sqrt(key.Count) + key * (covariance * key) / (2 * key.Count));
            }

            for (int j = policy.Sinks; j < tokens; j++)
            {
                scores[j] += weights[j] / weights.Sum() / group;
            }
        }

        return [.. scores.Select((expected, j) => (expected + policy.Epsilon) * Row(RowKind.Values, j).L2Norm())];

        Vector<double> Row(RowKind kind, int token) =>
            Vector<double>.Build.Dense([.. drawn.Rows.Row(kind, layer, kvHead, token).Select(x => (double)x)]);
    }
}
