using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;
using EdgeKV.Tests.Scoring;

namespace EdgeKV.Tests.Policies.Scorers;

public class LagKVTests
{
    // One sink, blocks of two: tokens 1-2, 3-4, 5-6, and token 7 left over. The range of a channel in a block is 1, from 0.
    private static readonly float[] Keys =
    [
        9, 9,
        1, 1, 0, 3,
        0, 0, 1, 1,
        0, 0, 1, 1,
        7, 7,
    ];

    [Fact]
    public void Score_BlocksOfTwo_RanksByTheSpreadAgainstTheNextBlock()
    {
        // Token 2 spreads over its channels (0 and 3), token 1 does not; tokens 3 and 4 spread alike: the earlier one ranks higher.
        using RowScores drawn = Of(Keys);
        var policy = new LagKV { Sinks = 1, Lag = 2 };

        AttentionScores scores = drawn.For(policy);

        float[] own = ScorerAssert.Scores(policy, scores);

        Assert.Equal([0, 0.5f, 0.5f, 0], own[1..5]);
        Assert.Equal(new ProtectedRows(1, 3), policy.Protect(8, 4));
        Assert.Equal([0, 2, 5, 6, 7], (policy with { Budget = Budget.FromRows(5) }).Plan(scores).Positions(0, 0).ToArray());
        Assert.Equal([0, 2, 3, 5, 6, 7], (policy with { Budget = Budget.FromRows(6) }).Plan(scores).Positions(0, 0).ToArray());
        Assert.Equal([0, 6, 7], (policy with { Budget = Budget.FromRows(3) }).Plan(scores).Positions(0, 0).ToArray());
    }

    [Theory]
    [InlineData(259)]
    [InlineData(20)]
    [InlineData(3)]
    public void Plan_TooShortForTwoBlocks_KeepsSinksAndTheMostRecent(int tokens)
    {
        using RowScores drawn = RowScores.Random(1, tokens, layers: 1);
        int rows = tokens / 2;

        CompressionPlan plan = new LagKV { Budget = Budget.FromRows(rows) }.Plan(drawn.For(new LagKV()));

        Assert.Equal(
            Enumerable.Range(0, tokens).Where(j => j < Math.Min(4, rows) || j >= tokens - (rows - 4)), plan.Positions(0, 2).ToArray());
    }

    [Fact]
    public void Plan_FirstContextOfTwoBlocks_ScoresTheFirst()
    {
        using RowScores drawn = RowScores.Random(2, 260, layers: 1);

        CompressionPlan plan = new LagKV { Budget = Budget.FromRows(133) }.Plan(drawn.For(new LagKV()));

        // 4 sinks, the last block of 128, and the one row of the highest rank.
        Assert.Equal(1, plan.Positions(0, 1).ToArray().Count(j => j is >= 4 and < 132));
    }

    [Fact]
    public void Score_ChannelThatDoesNotVary_IsZero()
    {
        using RowScores scores = Of([9, 9, 1, 1, 0, 3, 0, 5, 1, 5, 0, 0, 1, 1, 7, 7]);
        var policy = new LagKV { Sinks = 1, Lag = 2 };

        // Against a block whose second channel is always 5 only the first one counts: 1 and 0.
        Assert.Equal([0.5f, 0], ScorerAssert.Scores(policy, scores.For(policy))[1..3]);
    }

    [Fact]
    public void Plan_ValueThatIsNoNumber_Throws()
    {
        float[] broken = [.. Keys];
        broken[4] = float.NaN;
        using RowScores scores = Of(broken);
        var policy = new LagKV { Sinks = 1, Lag = 2 };

        PlanException error = Assert.Throws<PlanException>(() => policy.Plan(scores.For(policy)));

        Assert.Contains("not a finite number", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Score_RandomRows_EqualsTheDefinition()
    {
        for (int seed = 0; seed < 20; seed++)
        {
            var policy = new LagKV { Sinks = seed % 5, Lag = 12 + seed % 7 };
            using RowScores drawn = RowScores.Random(seed, tokens: 50 + 3 * seed);
            ScorerAssert.EqualDefinition(policy, drawn.For(policy), (layer, head) => ByDefinition(policy, drawn.Rows, layer, head));
        }
    }

    [Fact]
    public void Options_OutOfRange_Throw()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new LagKV { Sinks = -1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new LagKV { Lag = 0 });
    }

    private static RowScores Of(float[] rows) => RowScores.Of(new TestRows(1, 1, 8, rows, rows), heads: 1);

    private static double[] ByDefinition(LagKV policy, TestRows rows, int layer, int head)
    {
        double[] scores = new double[rows.Tokens];
        for (int start = policy.Sinks; start + 2 * policy.Lag <= rows.Tokens; start += policy.Lag)
        {
            double[] keys = Shares(RowKind.Keys, start);
            double[] values = Shares(RowKind.Values, start);
            double[] mean = [.. keys.Zip(values, (k, v) => (k + v) / 2)];
            int[] rising = [.. Enumerable.Range(0, policy.Lag).OrderBy(i => mean[i]).ThenByDescending(i => i)];
            for (int rank = 0; rank < rising.Length; rank++)
            {
                scores[start + rising[rank]] = (double)rank / policy.Lag;
            }
        }

        return scores;

        double[] Shares(RowKind kind, int start)
        {
            double[][] block = Block(kind, start);
            double[][] next = Block(kind, start + policy.Lag);
            double[] spread = [.. block.Select(row => Deviation([.. row.Select((v, channel) => Relative(v, [.. next.Select(other => other[channel])]))]))];
            return [.. spread.Select(x => Math.Exp(x) / spread.Sum(Math.Exp))];
        }

        double[][] Block(RowKind kind, int start) =>
            [.. Enumerable.Range(start, policy.Lag).Select(j => rows.Row(kind, layer, head, j).Select(x => (double)x).ToArray())];
    }

    private static double Relative(double value, double[] reference) => (value - reference.Min()) / (reference.Max() - reference.Min());

    private static double Deviation(double[] values) =>
        Math.Sqrt(values.Sum(x => (x - values.Average()) * (x - values.Average())) / (values.Length - 1));
}
