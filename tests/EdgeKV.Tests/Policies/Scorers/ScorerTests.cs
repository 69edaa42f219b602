using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Scorers;

/// <summary>Policies whose every head keeps its best rows, by hand-computed cases.</summary>
public class ScorerTests
{
    [Fact]
    public void StreamingLLM_TenTokens_KeepsSinksAndTheEnd()
    {
        using AttentionScores scores = new(CacheGeometry.Uniform(2, 2, 1, 1, 1), 10, []);

        Assert.Equal([0, 1, 2, 3, 7, 8, 9], Kept(new StreamingLLM { Budget = Budget.FromRows(7) }, scores));
        Assert.Equal([0, 8, 9], Kept(new StreamingLLM { Sinks = 1, Budget = Budget.FromRows(3) }, scores));

        // Too small for the sinks: the first of them.
        Assert.Equal([0, 1], Kept(new StreamingLLM { Budget = Budget.FromRows(2) }, scores));
    }

    [Fact]
    public void Knorm_Norms_KeepsTheShortestKeysAndTheEarlierOfEqualOnes()
    {
        using AttentionScores scores = Scores(new KeyNorms(), 1, 1, 5, [3, 1, 2, 1, 1]);

        Assert.Equal([1, 3], Kept(new Knorm { Budget = Budget.FromRows(2) }, scores));
        Assert.Equal([-3f, -1, -2, -1, -1], Scored(new Knorm(), scores));
    }

    [Fact]
    public void Tova_LastQuery_AveragesAllHeadsAndKeepsTheLastToken()
    {
        // Four attention heads on two KV heads; both keep the same.
        float[] attention = [.1f, .5f, 0, 0, .4f, .3f, 0, .2f, 0, .5f, 0, .1f, .6f, 0, .3f, 0, .4f, .2f, 0, .4f];
        using AttentionScores scores = Scores(new WindowAttention(1), 4, 2, 5, attention, queries: 1);

        CompressionPlan plan = new Tova { Budget = Budget.FromRows(3) }.Plan(scores);

        // Means: 0.1, 0.25, 0.2, 0.05, 0.4.
        Assert.Equal([1, 2, 4], plan.Positions(0, 0).ToArray());
        Assert.Equal([1, 2, 4], plan.Positions(0, 1).ToArray());
        Assert.Equal([4], Kept(new Tova { Budget = Budget.FromRows(1) }, scores));
    }

    [Fact]
    public void SnapKV_Window_PoolsTheMeanOverQueriesAndGroup()
    {
        // Two heads of one group, two queries: means of the sums 4 and 6 are (4 + 6) / 2 / 2 = 2.5 at token 1, 0 elsewhere.
        float[] sums = [0, 4, 0, 0, 0, 9, 9, 0, 6, 0, 0, 0, 9, 9];
        using AttentionScores scores = Scores(new WindowAttention(2), 2, 1, 7, sums, queries: 2);
        SnapKV policy = new() { Window = 2 };

        // The five neighbours of token 1 that there are get a fifth of it, whatever the window's own columns hold.
        Assert.Equal([.5f, .5f, .5f, .5f, 0, 0, 0], Scored(policy, scores));
        Assert.Equal([0, 1, 5, 6], Kept(policy with { Budget = Budget.FromRows(4) }, scores));
        Assert.Equal([1, 5, 6], Kept(policy with { Kernel = 1, Budget = Budget.FromRows(3) }, scores));

        // Too small for the window: the most recent.
        Assert.Equal([6], Kept(policy with { Budget = Budget.FromRows(1) }, scores));
    }

    [Fact]
    public void SnapKV_ContextWithinTheWindow_IsRefused()
    {
        using AttentionScores scores = Scores(new WindowAttention(7), 1, 1, 7, new float[7], queries: 7);

        PlanException error = Assert.Throws<PlanException>(() => new SnapKV { Window = 7 }.Plan(scores));

        Assert.Contains("7 tokens are not more than 7. Give a smaller Window", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ObservedAttention_Sums_AreDividedByTheQueriesThatSawThem()
    {
        using AttentionScores scores = Scores(WindowAttention.All, 2, 1, 4, [2, 1.5f, .5f, .5f, 2, .9f, .7f, .1f], queries: 4);

        // Means over the group 2, 1.2, 0.6, 0.3; seen by 4, 3, 2, 1 queries.
        Assert.Equal([.5f, .4f, .3f, .3f], Scored(new ObservedAttention(), scores), (a, b) => Math.Abs(a - b) < 1e-6f);
        Assert.Equal([0, 1], Kept(new ObservedAttention { Ratio = 0.5 }, scores));
    }

    [Fact]
    public void H2O_Sums_SharesTheBudgetWithRecentRows()
    {
        using AttentionScores scores = Scores(WindowAttention.All, 1, 1, 8, [3, .1f, 2, .2f, 1, .3f, .2f, .1f], queries: 8);

        Assert.Equal([0, 2, 6, 7], Kept(new H2O { Ratio = 0.5 }, scores));
        Assert.Equal([0, 2, 7], Kept(new H2O { Budget = Budget.FromRows(3) }, scores));
        Assert.Equal([0, 2, 4, 5], Kept(new H2O { Ratio = 0.5, Recent = 0 }, scores));
        Assert.Equal([4, 5, 6, 7], Kept(new H2O { Ratio = 0.5, Recent = 1 }, scores));
    }

    [Fact]
    public void Random_Seeds_DrawOtherRowsInEveryLayerAndHead()
    {
        using AttentionScores scores = new(CacheGeometry.Uniform(3, 2, 2, 1, 1), 400, []);
        CompressionPlan plan = new RandomRows { Ratio = 0.5 }.Plan(scores);

        Assert.Equal(plan, new RandomRows { Ratio = 0.5 }.Plan(scores));
        Assert.NotEqual(plan, new RandomRows { Ratio = 0.5, Seed = 1 }.Plan(scores));
        Assert.NotEqual(plan.Positions(0, 0).ToArray(), plan.Positions(0, 1).ToArray());
        Assert.NotEqual(plan.Positions(0, 0).ToArray(), plan.Positions(1, 0).ToArray());

        // Uniform: of 1200 rows in six heads some 600 lie in the first half, give or take six standard deviations.
        int first = Enumerable.Range(0, 6).Sum(list => plan.Positions(list / 2, list % 2).ToArray().Count(position => position < 200));
        Assert.InRange(first, 600 - 105, 600 + 105);
        float[] drawn = new float[800];
        new RandomRows().Score(scores, 1, drawn);
        Assert.All(drawn, value => Assert.InRange(value, 0, 1));
    }

    [Fact]
    public void Options_OutOfRange_AreRefused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new SnapKV { Window = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new SnapKV { Kernel = 2 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new StreamingLLM { Sinks = -1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new H2O { Recent = 1.1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new H2O { Recent = double.NaN });
        Assert.Throws<ArgumentOutOfRangeException>(() => new Knorm { Ratio = 1 });
        Assert.Throws<ArgumentNullException>(() => new Knorm { Budget = null! });
        Assert.Throws<ArgumentNullException>(() => new Knorm { Ratio = null });
    }

    internal static AttentionScores Scores(Statistic statistic, int heads, int kvHeads, int tokens, float[] values, long queries = 0) => new(
        CacheGeometry.Uniform(values.Length / tokens / (statistic.IsPerAttentionHead ? heads : kvHeads), heads, kvHeads, 1, 1),
        tokens,
        [new(statistic, new StatisticValues(TestScores.Buffer(values), queries))]);

    private static int[] Kept(ICompressionPolicy policy, AttentionScores scores) => policy.Plan(scores).Positions(0, 0).ToArray();

    private static float[] Scored(IRowScorer scorer, AttentionScores scores)
    {
        float[] written = new float[scores.KvHeads[0] * scores.Tokens];
        written.AsSpan().Fill(float.NaN);
        scorer.Score(scores, 0, written);
        return written;
    }
}
