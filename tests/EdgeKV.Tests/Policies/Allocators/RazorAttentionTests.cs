using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Allocators;

public class RazorAttentionTests
{
    private static readonly HeadsByLayer Heads = new([[1], [], [0, 1]]);

    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 200)];

    [Theory]
    [InlineData(2, 5, new[] { 0, 8, 9 })]
    [InlineData(2, 3, new[] { 0, 7, 8, 9 })]
    [InlineData(4, 3, new[] { 0, 6, 7, 8, 9 })]
    public void Plan_Heads_CutsTheOthers(int recent, int divisor, int[] kept)
    {
        using AttentionScores scores = new(CacheGeometry.Uniform(3, 4, 2, 1, 1), 10, []);

        CompressionPlan plan = new RazorAttention { Heads = Heads, Sinks = 1, Recent = recent, RecentDivisor = divisor }.Plan(scores);

        int all = 10;
        int few = kept.Length;
        Assert.Equal([few, all, few, few, all, all], plan.Counts.ToArray());
        Assert.Equal(kept, plan.Positions(0, 0).ToArray());
        Assert.Equal(Enumerable.Range(0, 10), plan.Positions(0, 1).ToArray());
        Assert.Equal(kept, plan.Positions(1, 1).ToArray());
    }

    [Theory]
    [InlineData(4004, 4004)]
    [InlineData(10_000, 4004)]
    [InlineData(20_010, 4006)]
    public void Plan_Defaults_KeepFourAndTheLastFourThousandOrOneInFive(int tokens, int kept)
    {
        using AttentionScores scores = new(CacheGeometry.Uniform(1, 1, 1, 1, 1), tokens, []);

        Assert.Equal(kept, new RazorAttention { Heads = new([[]]) }.Plan(scores).TotalRows);
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Plan_RandomHeads_KeepsItsPromises(int seed)
    {
        var random = new Random(seed);
        var sizes = RandomGeometry.Of(random);
        using AttentionScores scores = RandomScores.For(ScoreRequest.None, sizes, random, random.Next(1, 90));
        bool[] whole = [.. Enumerable.Range(0, sizes.KvHeads.Total).Select(_ => random.Next(2) == 0)];
        HeadsByLayer heads = new(Enumerable.Range(0, sizes.Layers.Count).Select(
            layer => Enumerable.Range(0, sizes.KvHeads[layer]).Where(head => whole[sizes.KvHeads.First(layer) + head])));
        var policy = new RazorAttention { Heads = heads, Sinks = random.Next(0, 9), Recent = random.Next(0, 90), RecentDivisor = random.Next(1, 9) };

        CompressionPlan plan = StatisticScores.AssertSound(policy, scores);

        int last = Math.Max(policy.Recent, scores.Tokens / policy.RecentDivisor);
        StatisticScores.AssertKeeps(plan, new ProtectedRows(policy.Sinks, last));
        Assert.Equal(
            whole.Select(all => all ? scores.Tokens : Math.Min(policy.Sinks + last, scores.Tokens)), plan.Counts.ToArray());
    }

    [Fact]
    public void Plan_BudgetBelowItsRows_IsRefused()
    {
        using AttentionScores scores = new(CacheGeometry.Uniform(3, 2, 2, 1, 1), 10, []);
        var policy = new RazorAttention { Heads = Heads, Sinks = 1, Recent = 2 };

        // 3 heads of 10 rows and 3 of 3.
        Assert.Equal(39, (policy with { Ratio = 0.35 }).Plan(scores).TotalRows);
        Assert.Contains(
            "keeps 39 rows by its own options, more than the budget of 38",
            Assert.Throws<PlanException>(() => (policy with { Ratio = 0.36 }).Plan(scores)).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Plan_NoHeadsOrAnotherModels_SaysWhatIsNeeded()
    {
        using AttentionScores scores = new(CacheGeometry.Uniform(3, 2, 1, 1, 1), 10, []);

        Assert.Contains("Heads", Assert.Throws<ArgumentException>(() => new RazorAttention().Plan(scores)).Message, StringComparison.Ordinal);
        Assert.Contains(
            "head 1 of layer 0", Assert.Throws<PlanException>(() => new RazorAttention { Heads = Heads }.Plan(scores)).Message, StringComparison.Ordinal);
    }
}
