using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Allocators;

public class FastGenTests
{
    // 10 tokens: 2 and 5 are special, 3 and 5 punctuation.
    private static readonly TokenMasks Tokens = new(Mask(10, 2, 5), Mask(10, 3, 5));

    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 300)];

    // With one first position: {0, 2, 5} has 0.4 of the attention, with 3 it is 0.5. The best others by mean attention are 9 (1 / 1), 8 (1.5 / 2)
    // and 6 (1.5 / 4): 0.9. Of the last three rows 7 is left: 0.95.
    private static AttentionScores Handmade() => StatisticScores.Of(
        1, 1, 1, 10, WindowAttention.All, [2, 0.5f, 1.5f, 1, 0, 0.5f, 1.5f, 0.5f, 1.5f, 1]);

    [Theory]
    [InlineData(0.4, new[] { 0, 2, 5 })]
    [InlineData(0.41, new[] { 0, 2, 3, 5 })]
    [InlineData(0.51, new[] { 0, 2, 3, 5, 6, 8, 9 })]
    [InlineData(0.91, new[] { 0, 2, 3, 5, 6, 7, 8, 9 })]
    [InlineData(0.96, new[] { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 })]
    public void Plan_HandmadeAttention_KeepsTheFirstSetThatRecoversEnough(double recovery, int[] kept)
    {
        using AttentionScores scores = Handmade();

        CompressionPlan plan = new FastGen { Tokens = Tokens, Recovery = recovery, Sinks = 1 }.Plan(scores);

        Assert.Equal(kept, plan.Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_Heads_ChooseForThemselves()
    {
        // Two KV heads of two attention heads: the first looks at token 0 alone, the second in the mean half at 0 and half at 4.
        float[] values = new float[4 * 10];
        values[0] = values[10] = values[20] = 10;
        values[34] = 10;
        using AttentionScores scores = StatisticScores.Of(1, 4, 2, 10, WindowAttention.All, values);

        CompressionPlan plan = new FastGen { Tokens = Tokens, Sinks = 1 }.Plan(scores);

        // The best others are 4 and, of those that nobody looked at, the earlier 1 and 6.
        Assert.Equal([0, 2, 5], plan.Positions(0, 0).ToArray());
        Assert.Equal([0, 1, 2, 3, 4, 5, 6], plan.Positions(0, 1).ToArray());
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Plan_RandomAttention_EqualsTheDefinition(int seed)
    {
        var random = new Random(seed);
        int tokens = random.Next(1, 90);
        var policy = new FastGen
        {
            Tokens = new TokenMasks(RandomMask(random, tokens), RandomMask(random, tokens)),
            Recovery = random.NextDouble(),
            Best = random.Next(2) == 0 ? 0.3 : random.NextDouble(),
            Recent = random.Next(2) == 0 ? 0.3 : random.NextDouble(),
            Sinks = random.Next(0, 6),
        };
        using AttentionScores scores = WholeNumbers(random, tokens);

        CompressionPlan plan = StatisticScores.AssertSound(policy, scores);

        StatisticScores.AssertKeeps(plan, new ProtectedRows(policy.Sinks, 0));
        for (int list = 0; list < scores.KvHeads.Total; list++)
        {
            Assert.Equal(
                KeptByDefinition(policy, scores, scores.KvHeads.At(list).Layer, scores.KvHeads.At(list).Head),
                plan.Positions(scores.KvHeads.At(list).Layer, scores.KvHeads.At(list).Head).ToArray());
        }
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Plan_MoreRecovery_KeepsAllThatLessKeeps(int seed)
    {
        var random = new Random(seed);
        int tokens = random.Next(1, 90);
        using AttentionScores scores = WholeNumbers(random, tokens);
        double low = random.NextDouble();
        var policy = new FastGen { Tokens = new TokenMasks(RandomMask(random, tokens), RandomMask(random, tokens)), Recovery = low };

        CompressionPlan part = policy.Plan(scores);
        CompressionPlan whole = (policy with { Recovery = low + (1 - low) * random.NextDouble() }).Plan(scores);

        for (int list = 0; list < scores.KvHeads.Total; list++)
        {
            Assert.Empty(part.Positions(scores.KvHeads.At(list).Layer, scores.KvHeads.At(list).Head).ToArray()
                .Except(whole.Positions(scores.KvHeads.At(list).Layer, scores.KvHeads.At(list).Head).ToArray()));
        }
    }

    [Fact]
    public void Plan_BudgetBelowItsRows_IsRefused()
    {
        using AttentionScores scores = Handmade();
        var policy = new FastGen { Tokens = Tokens, Recovery = 0.41, Sinks = 1 };

        Assert.Equal(4, (policy with { Budget = Budget.FromRows(4) }).Plan(scores).TotalRows);
        Assert.Contains(
            "keeps 4 rows",
            Assert.Throws<PlanException>(() => (policy with { Budget = Budget.FromRows(3) }).Plan(scores)).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Plan_NotANumber_NamesIt()
    {
        float[] values = new float[20];
        values[13] = float.PositiveInfinity;
        using AttentionScores scores = StatisticScores.Of(1, 2, 2, 10, WindowAttention.All, values);

        Assert.Contains(
            "Layer 0, KV head 1, token 3 has window(all)",
            Assert.Throws<PlanException>(() => new FastGen { Tokens = Tokens }.Plan(scores)).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Plan_MasksOfTheScores_AreTakenWhereNoneAreGiven()
    {
        var seen = new WindowAttention(int.MaxValue);
        using AttentionScores given = Handmade();
        using AttentionScores scores = new(
            CacheGeometry.Uniform(1, 1, 1, 1, 1), 10, [new(seen, new StatisticValues(TestScores.Buffer(given.Values(seen, 0, 0).ToArray()), 10))])
        {
            TokenMasks = Tokens,
        };
        FastGen policy = new() { Recovery = 0.41, Sinks = 1 };

        Assert.Equal([0, 2, 3, 5], policy.Plan(scores).Positions(0, 0).ToArray());
        Assert.Equal([0, 2], (policy with { Tokens = new TokenMasks(Mask(10, 2), Mask(10)), Recovery = 0.3 }).Plan(scores).Positions(0, 0).ToArray());
        Assert.Equal("window(all), token classes", policy.Request.ToString());
        Assert.Equal("window(all)", (policy with { Tokens = Tokens }).Request.ToString());
    }

    [Fact]
    public void Plan_NoTokensOrAnotherContexts_SaysWhatIsNeeded()
    {
        using AttentionScores scores = Handmade();

        Assert.Contains(
            "fastgen needs window(all), token classes, but the scores hold window(all)",
            Assert.Throws<PlanException>(() => new FastGen().Plan(scores)).Message,
            StringComparison.Ordinal);
        Assert.Contains(
            "masks of 3 tokens, but the context has 10",
            Assert.Throws<PlanException>(() => new FastGen { Tokens = new TokenMasks(Mask(3), Mask(3)) }.Plan(scores)).Message,
            StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => new TokenMasks(Mask(3), Mask(4)));
    }

    [Fact]
    public void Tokens_EqualMasks_AreEqual()
    {
        TokenMasks same = new(Mask(10, 2, 5), Mask(10, 3, 5));

        Assert.Equal(Tokens, same);
        Assert.Equal(Tokens.GetHashCode(), same.GetHashCode());
        Assert.NotEqual(Tokens, new TokenMasks(Mask(10, 3, 5), Mask(10, 2, 5)));
    }

    private static bool[] Mask(int tokens, params int[] marked) => [.. Enumerable.Range(0, tokens).Select(marked.Contains)];

    private static bool[] RandomMask(Random random, int tokens) => [.. Enumerable.Range(0, tokens).Select(_ => random.Next(6) == 0)];

    // Small whole numbers, 1, 2 or 4 attention heads for each KV head: sums and means are exact in whatever order.
    private static AttentionScores WholeNumbers(Random random, int tokens)
    {
        int kvHeads = random.Next(1, 4);
        int heads = kvHeads << random.Next(0, 3);
        float[] values = [.. Enumerable.Range(0, 2 * heads * tokens).Select(_ => (float)(random.Next(3) == 0 ? random.Next(5) : 0))];
        return StatisticScores.Of(2, heads, kvHeads, tokens, WindowAttention.All, values);
    }

    // All five sets as sets, the first of them that recovers enough.
    private static IEnumerable<int> KeptByDefinition(FastGen policy, AttentionScores scores, int layer, int head)
    {
        int tokens = scores.Tokens;
        float[] seen = new float[tokens];
        scores.CopyGroupMean(WindowAttention.All, layer, head, seen);
        int[] all = [.. Enumerable.Range(0, tokens)];
        HashSet<int> kept = [.. all.Where(token => token < policy.Sinks || policy.Tokens!.Special[token])];
        List<int[]> sets = [[.. kept]];
        Add(all.Where(token => policy.Tokens!.Punctuation[token]));
        Add(all.Except(kept).OrderByDescending(token => seen[token] / (tokens - token)).ThenBy(token => token).Take((int)Math.Ceiling(policy.Best * tokens)));
        Add(all.TakeLast((int)(policy.Recent * tokens)));
        Add(all);
        return sets.First(set => set.Length == tokens || set.Sum(token => (double)seen[token]) >= policy.Recovery * tokens).Order();

        void Add(IEnumerable<int> more)
        {
            kept.UnionWith([.. more]);
            sets.Add([.. kept]);
        }
    }
}
