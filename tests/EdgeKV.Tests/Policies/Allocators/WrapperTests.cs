using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Configuration;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;
using EdgeKV.Tests.Policies.Scorers;

namespace EdgeKV.Tests.Policies.Allocators;

/// <summary>Policies that share a budget by another's scores, by hand-computed cases.</summary>
public class WrapperTests
{
    [Fact]
    public void AdaKV_UnevenHeads_SharesALayerAndKeepsTheSafeRows()
    {
        // Key norms: the lower, the better. Head 0 has the four best rows of layer 0; layer 1 is the other way round.
        using AttentionScores scores = Norms(2, 5, [1, 2, 3, 4, 9, 5, 6, 7, 8, 9, 5, 6, 7, 8, 9, 1, 2, 3, 4, 9]);

        CompressionPlan plan = new AdaKV { Scorer = new Knorm(), Budget = Budget.FromRows(3) }.Plan(scores);
        CompressionPlan safe = new AdaKV { Scorer = new Knorm(), Alpha = 0.7, Budget = Budget.FromRows(3) }.Plan(scores);
        CompressionPlan composed = new AdaKV { Scorer = new Knorm(), Composed = true, Budget = Budget.FromRows(3) }.Plan(scores);

        // (int)(3 * 0.2) = 0 rows are safe: the best six of the layer.
        Assert.Equal([4, 2, 2, 4], plan.Counts.ToArray());
        Assert.Equal([0, 1, 2, 3, 0, 1, 0, 1, 0, 1, 2, 3], plan.FlatPositions.ToArray());

        // (int)(3 * 0.7) = 2 of each head are safe; the same result, as both have two among the best.
        Assert.Equal(plan, safe);
        Assert.Equal([3, 3, 3, 3], composed.Counts.ToArray());
    }

    [Fact]
    public void AdaKV_Alpha_SavesAHeadThatWouldLoseAll()
    {
        using AttentionScores scores = Norms(2, 4, [1, 2, 3, 4, 5, 6, 7, 8]);

        Assert.Equal([4, 0], new AdaKV { Scorer = new Knorm(), Alpha = 0, Ratio = 0.5 }.Plan(scores).Counts.ToArray());
        Assert.Equal([3, 1], new AdaKV { Scorer = new Knorm(), Alpha = 0.5, Ratio = 0.5 }.Plan(scores).Counts.ToArray());
        Assert.Equal([2, 2], new AdaKV { Scorer = new Knorm(), Alpha = 1, Ratio = 0.5 }.Plan(scores).Counts.ToArray());
    }

    [Fact]
    public void AdaKV_TiedScores_FavoursTheLowerHead()
    {
        using AttentionScores scores = Norms(2, 4, [1, 1, 1, 1, 1, 1, 1, 1]);

        Assert.Equal([4, 0], new AdaKV { Scorer = new Knorm(), Alpha = 0, Ratio = 0.5 }.Plan(scores).Counts.ToArray());
    }

    [Fact]
    public void GlobalRanking_Floors_SaveHeadsAndLayers()
    {
        // Two layers of two heads of four rows: the lower, the better.
        using AttentionScores scores = Norms(2, 4, [1, 2, 3, 4, 11, 12, 13, 14, 5, 6, 7, 8, 15, 16, 17, 18]);
        GlobalRanking policy = new(new Knorm()) { Ratio = 0.5 };

        // Eight rows, two for each head, four for each layer.
        Assert.Equal([4, 0, 4, 0], policy.Plan(scores).Counts.ToArray());
        Assert.Equal([4, 1, 2, 1], (policy with { HeadFloor = 0.5 }).Plan(scores).Counts.ToArray());
        Assert.Equal([2, 2, 2, 2], (policy with { HeadFloor = 1 }).Plan(scores).Counts.ToArray());
        using AttentionScores uneven = Norms(2, 4, [1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 18]);
        Assert.Equal([4, 4, 0, 0], policy.Plan(uneven).Counts.ToArray());
        Assert.Equal([4, 2, 2, 0], (policy with { LayerFloor = 0.5 }).Plan(uneven).Counts.ToArray());
        Assert.Equal([4, 1, 2, 1], (policy with { LayerFloor = 0.75, HeadFloor = 0.5 }).Plan(uneven).Counts.ToArray());
    }

    [Fact]
    public void GlobalRanking_RowMultiple_GivesWhatIsLeftToHeadsThatLostMost()
    {
        // Ten rows: 5, 3 and 2.
        using AttentionScores scores = Norms(3, 6, [1, 2, 3, 4, 5, 91, 6, 7, 8, 92, 93, 94, 9, 10, 95, 96, 97, 98]);
        GlobalRanking policy = new(new Knorm()) { Ratio = 0.44 };

        Assert.Equal([5, 3, 2], policy.Plan(scores).Counts.ToArray());

        // 4, 2 and 2, or 3, 3 and 0: of the two heads that lost equally many the lower gets what is left.
        Assert.Equal([6, 2, 2], (policy with { RowMultiple = 2 }).Plan(scores).Counts.ToArray());
        Assert.Equal([6, 3, 0], (policy with { RowMultiple = 3 }).Plan(scores).Counts.ToArray());

        // 4, 0 and 0: four more for the second, and too few for the third.
        Assert.Equal([4, 4, 0], (policy with { RowMultiple = 4 }).Plan(scores).Counts.ToArray());

        // A head with all rows keeps them.
        Assert.Equal([6, 6, 6], (policy with { RowMultiple = 4, Ratio = 0 }).Plan(scores).Counts.ToArray());

        ArgumentException error = Assert.Throws<ArgumentException>(() => (policy with { RowMultiple = 2, Composed = true }).Plan(scores));
        Assert.Contains("cannot be Composed and have a RowMultiple of 2", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ChunkKV_Chunks_StayOrGoWhole()
    {
        // Chunks of 2 over two heads: sums 2 + 8, 5 + 5, 1 + 1 and the short one of 6.
        using AttentionScores scores = Norms(2, 7, [1, 1, 3, 2, .5f, .5f, 2, 4, 4, 2, 3, .5f, .5f, 4]);
        ChunkKV policy = new() { Scorer = new Knorm(), Length = 2 };

        // keep(4 chunks) at 0.5 = 2: means 5, 5, 1 and 6 with the sign turned; of the equal ones the earlier.
        CompressionPlan plan = (policy with { Ratio = 0.5 }).Plan(scores);
        Assert.Equal([0, 1, 4, 5], plan.Positions(0, 0).ToArray());
        Assert.Equal([0, 1, 4, 5], plan.Positions(0, 1).ToArray());

        // At least one chunk by ratio; by rows as many as fit.
        Assert.Equal([4, 5], (policy with { Ratio = 0.9 }).Plan(scores).Positions(0, 0).ToArray());
        Assert.Equal([4, 5], (policy with { Budget = Budget.FromRows(3) }).Plan(scores).Positions(0, 0).ToArray());
        Assert.Equal(7, (policy with { Budget = Budget.FromRows(7) }).Plan(scores).Rows(0, 0));
        PlanException error = Assert.Throws<PlanException>(() => (policy with { Budget = Budget.FromRows(1) }).Plan(scores));
        Assert.Contains("1 rows per KV head holds no chunk of 2 tokens", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ChunkKV_ProtectedRows_BringTheirChunks()
    {
        using AttentionScores scores = new(CacheGeometry.Uniform(1, 1, 1, 1, 1), 9, []);

        // Sinks 0 and 1, and with 4 rows the last 2: their chunks of 3 rank first.
        CompressionPlan plan = new ChunkKV { Scorer = new StreamingLLM { Sinks = 2 }, Length = 3, Ratio = 0.34, }.Plan(scores);

        Assert.Equal([0, 1, 2], plan.Positions(0, 0).ToArray());
        plan = new ChunkKV { Scorer = new StreamingLLM { Sinks = 2 }, Length = 3, Ratio = 0.33, }.Plan(scores);
        Assert.Equal([0, 1, 2, 6, 7, 8], plan.Positions(0, 0).ToArray());
    }

    [Fact]
    public void ChunkKV_ContextShorterThanAChunk_IsTheScorerAlone()
    {
        using AttentionScores scores = Norms(1, 5, [5, 1, 4, 2, 3]);

        Assert.Equal(new Knorm { Ratio = 0.5 }.Plan(scores), new ChunkKV { Scorer = new Knorm(), Length = 6, Ratio = 0.5 }.Plan(scores));
    }

    [Theory]

    // b = 500: lo = 25, hi = 975 >= 936 becomes 936, lo = 64 >= 64: 936, 645.33, 354.67, 64.
    [InlineData(1000, 0.5, 64, new[] { 936, 645, 355, 64 })]

    // b = 200: lo = 10 < 64: flat.
    [InlineData(1000, 0.8, 64, new[] { 200, 200, 200, 200 })]

    // b = 200: lo = 10, hi = 390: 390, 263.33, 136.67, 10.
    [InlineData(1000, 0.8, 8, new[] { 390, 263, 137, 10 })]

    // b = 2.5, flat: half to even.
    [InlineData(5, 0.5, 4, new[] { 2, 2, 2, 2 })]
    public void PyramidKV_Budgets_FallFromLayerToLayer(int tokens, double ratio, int window, int[] expected)
    {
        using AttentionScores scores = ScorerTests.Scores(new WindowAttention(window), 2, 1, tokens, TestScores.Random(1, 4 * 2 * tokens), queries: window);

        CompressionPlan plan = new PyramidKV { Window = window, Ratio = ratio }.Plan(scores);

        Assert.Equal(expected, plan.Counts.ToArray());
        for (int layer = 0; layer < 4; layer++)
        {
            Assert.Equal(Enumerable.Range(tokens - window, window).TakeLast(expected[layer]), plan.Positions(layer, 0).ToArray().TakeLast(Math.Min(window, expected[layer])));
        }
    }

    [Fact]
    public void PyramidKV_BudgetInRows_IsNotPassedByRounding()
    {
        using AttentionScores scores = ScorerTests.Scores(new WindowAttention(1), 1, 1, 100, TestScores.Random(1, 400), queries: 1);

        // b = 21: lo = 1.05, hi = 40.95: 41, 27.65, 14.35, 1.05, rounded 41 + 28 + 14 + 1 = 84 = 4 * 21.
        Assert.Equal([41, 28, 14, 1], new PyramidKV { Window = 1, Budget = Budget.FromRows(21) }.Plan(scores).Counts.ToArray());

        // b = 2, beta 1.6: lo = 1.25, hi = 2.75: 2.75, 2.25, 1.75, 1.25, rounded 3 + 2 + 2 + 1 = 8.
        Assert.Equal([3, 2, 2, 1], new PyramidKV { Window = 1, Beta = 1.6, Budget = Budget.FromRows(2) }.Plan(scores).Counts.ToArray());
    }

    [Fact]
    public void GlobalRanking_OfKVComposesScores_IsKVComposeUnstructured()
    {
        using AttentionScores scores = TestScores.Of(3, 4, 2, 50, 1, TestScores.Buffer(TestScores.Random(3, 600)));

        foreach (double ratio in (double[])[0.5, 0.8])
        {
            Assert.Equal(
                new KVCompose { Structured = false, Ratio = ratio }.Plan(scores), new GlobalRanking(new KVCompose()) { Ratio = ratio }.Plan(scores));
        }
    }

    [Fact]
    public void GlobalRanking_Limit_KeepsWhatReachesItAndTheRecentRows()
    {
        using AttentionScores scores = Norms(2, 5, [1, 2, 3, 4, 5, 5, 4, 3, 2, 1]);
        GlobalRanking policy = new(new Knorm()) { Limit = -2, Recent = 1 };

        Assert.Equal([0, 1, 4, 3, 4], policy.Plan(scores).FlatPositions.ToArray());
        Assert.Equal([3, 2], policy.Plan(scores).Counts.ToArray());

        // A budget caps it: the recent rows, then the best.
        Assert.Equal([0, 4, 4], (policy with { Budget = Budget.FromRows(2), Ratio = 0.7 }).Plan(scores).FlatPositions.ToArray());
        Assert.Throws<ArgumentException>(() => PolicyRegistry.Find("threshold").Create().Plan(scores));
        Assert.Throws<ArgumentOutOfRangeException>(() => new GlobalRanking(new LearnedScorer()) { Limit = double.NaN });
    }

    [Fact]
    public void LayerBudgets_CountsOfOnePolicy_TakeRowsByTheOthersScores()
    {
        using AttentionScores scores = TestScores.Of(
            2, 1, 1, 4, 1, TestScores.Buffer([9, 8, 7, 6, 1, 2, 3, 4]), keyNorms: TestScores.Buffer([4, 3, 2, 1, 1, 2, 3, 4]));
        LayerBudgets policy = new() { Counts = new KVCompose { Ratio = 0.1 }, Scorer = new Knorm(), Ratio = 0.375 };

        CompressionPlan plan = policy.Plan(scores);

        // Attention puts four of the five rows into layer 0.
        Assert.Equal([4, 1], plan.Counts.ToArray());
        Assert.Equal([0], plan.Positions(1, 0).ToArray());
        Assert.Equal(2, policy.Request.Statistics.Count);
    }

    [Fact]
    public void Options_OutOfRange_AreRefused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new AdaKV { Alpha = 1.1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new ChunkKV { Length = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new PyramidKV { Beta = 0.5 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new PyramidKV { Window = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new GlobalRanking(new LearnedScorer()) { Recent = -1 });
        Assert.Throws<ArgumentNullException>(() => new AdaKV { Scorer = null! });
        Assert.Throws<ArgumentNullException>(() => new LayerBudgets { Counts = null! });
    }

    private static AttentionScores Norms(int heads, int tokens, float[] norms) => ScorerTests.Scores(new KeyNorms(), heads, heads, tokens, norms);
}
