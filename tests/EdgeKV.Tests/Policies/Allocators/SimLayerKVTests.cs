using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Allocators;

public class SimLayerKVTests
{
    private static readonly Statistic LastQuery = new WindowAttention(1);

    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 200)];

    // 3 layers of 2 attention heads and 1 KV head, 7 tokens. First 1 and last 2 before the own column see 0.5, 0.75 and 0.25 of the attention.
    private static AttentionScores Handmade() => StatisticScores.Of(
        3,
        2,
        1,
        7,
        LastQuery,
        [
            0.25f, 0, 0.25f, 0, 0.25f, 0, 0.25f,
            0, 0, 0.25f, 0, 0.25f, 0.25f, 0.25f,

            1, 0, 0, 0, 0, 0, 0,
            0.25f, 0.25f, 0, 0, 0, 0.25f, 0.25f,

            0, 0, 0, 1, 0, 0, 0,
            0.25f, 0, 0, 0, 0.25f, 0, 0.5f,
        ]);

    [Theory]
    [InlineData(0.4, new[] { 2, 2, 7 })]
    [InlineData(0.5, new[] { 7, 2, 7 })]
    [InlineData(0.75, new[] { 7, 7, 7 })]
    [InlineData(1.0, new[] { 7, 7, 7 })]
    [InlineData(0.0, new[] { 2, 2, 2 })]
    public void Plan_Threshold_CutsLayersAboveIt(double threshold, int[] rows)
    {
        using AttentionScores scores = Handmade();

        CompressionPlan plan = new SimLayerKV { Threshold = threshold, Sinks = 1, Recent = 2 }.Plan(scores);

        Assert.Equal(rows, plan.Counts.ToArray());
        for (int layer = 0; layer < 3; layer++)
        {
            Assert.Equal(rows[layer] == 7 ? [0, 1, 2, 3, 4, 5, 6] : [0, 6], plan.Positions(layer, 0).ToArray());
        }
    }

    [Fact]
    public void Plan_BudgetAlone_CutsTheLaziestLayers()
    {
        using AttentionScores scores = Handmade();
        var policy = new SimLayerKV { Sinks = 1, Recent = 2 };

        Assert.Equal([7, 7, 7], (policy with { Ratio = 0 }).Plan(scores).Counts.ToArray());
        Assert.Equal([7, 2, 7], (policy with { Budget = Budget.FromRows(6) }).Plan(scores).Counts.ToArray());
        Assert.Equal([2, 2, 7], (policy with { Budget = Budget.FromRows(5) }).Plan(scores).Counts.ToArray());
        Assert.Equal([2, 2, 2], (policy with { Budget = Budget.FromRows(2) }).Plan(scores).Counts.ToArray());
        Assert.Contains(
            "fewer first and last rows",
            Assert.Throws<PlanException>(() => (policy with { Budget = Budget.FromRows(1) }).Plan(scores)).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Plan_EquallyLazyLayers_CutsTheLowerOne()
    {
        using AttentionScores scores = StatisticScores.Of(2, 1, 1, 7, LastQuery, new float[14]);

        Assert.Equal([2, 7], new SimLayerKV { Sinks = 1, Recent = 2, Budget = Budget.FromRows(5) }.Plan(scores).Counts.ToArray());
    }

    [Theory]
    [InlineData(1029, 1029)]
    [InlineData(1030, 1027)]
    public void Plan_ContextOfFirstAndLastRows_StaysWhole(int tokens, int kept)
    {
        float[] attention = new float[tokens];
        attention[0] = 1;
        using AttentionScores scores = StatisticScores.Of(1, 1, 1, tokens, LastQuery, attention);

        Assert.Equal(kept, new SimLayerKV { Threshold = 0.9 }.Plan(scores).TotalRows);
    }

    [Fact]
    public void Plan_ThresholdPassesTheGivenBudget_IsRefused()
    {
        using AttentionScores scores = Handmade();
        var policy = new SimLayerKV { Threshold = 0.5, Sinks = 1, Recent = 2, Ratio = 0.8 };

        Assert.Contains("budget", Assert.Throws<PlanException>(() => policy.Plan(scores)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Plan_NotANumber_NamesIt()
    {
        float[] attention = new float[14];
        attention[10] = float.NaN;
        using AttentionScores scores = StatisticScores.Of(2, 1, 1, 7, LastQuery, attention);

        string message = Assert.Throws<PlanException>(() => new SimLayerKV { Sinks = 1, Recent = 2, Threshold = 0.5 }.Plan(scores)).Message;

        Assert.Contains("Layer 1, attention head 0, token 3", message, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Plan_RandomScores_KeepsItsPromises(int seed)
    {
        var random = new Random(seed);
        var policy = new SimLayerKV
        {
            Sinks = random.Next(0, 6),
            Recent = random.Next(1, 12),
            Threshold = random.Next(2) == 0 ? random.NextDouble() : null,
            Ratio = 0,
        };
        using AttentionScores scores = RandomScores.For(policy.Request, random, random.Next(1, 90));
        int kept = scores.Tokens > policy.Sinks + policy.Recent + 1 ? policy.Sinks + policy.Recent - 1 : scores.Tokens;
        if (policy.Threshold is null)
        {
            policy = policy with { Budget = Budget.FromRows(Math.Max(1, random.Next(kept, scores.Tokens + 1))) };
        }

        CompressionPlan plan = StatisticScores.AssertSound(policy, scores);

        StatisticScores.AssertKeeps(plan, new ProtectedRows(policy.Sinks, policy.Recent - 1));
        Assert.All(plan.Counts.ToArray(), rows => Assert.True(rows == kept || rows == scores.Tokens, $"{rows} rows"));
        if (policy.Threshold is null)
        {
            // One layer more would have passed the budget.
            RowLimit budget = policy.Budget.CompositeRows(scores.KvHeads, scores.Tokens);
            long last = Enumerable.Range(0, scores.Layers).Where(layer => plan.Rows(layer, 0) < scores.Tokens).Select(budget.PerRow).DefaultIfEmpty(0).Max();
            Assert.True(budget.Of(plan.Counts) + (scores.Tokens - kept) * last > budget.Units || plan.Ratio == 0);
            return;
        }

        for (int layer = 0; layer < scores.Layers; layer++)
        {
            bool cut = kept < scores.Tokens && Laziness(policy, scores, layer) > policy.Threshold;
            Assert.Equal((cut ? kept : scores.Tokens) * scores.KvHeads[layer], plan.Rows(layer));
        }
    }

    private static double Laziness(SimLayerKV policy, AttentionScores scores, int layer)
    {
        IEnumerable<int> seen = Enumerable.Range(0, scores.Tokens - 1)
            .Where(token => token < policy.Sinks || token >= scores.Tokens - 1 - policy.Recent);
        return seen.Average(token => Enumerable.Range(0, scores.Heads[layer]).Average(head => (double)scores.Values(LastQuery, layer, head)[token])) * seen.Count();
    }
}
