using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies;

/// <summary>Budgets, scores and plans of models whose layers differ in heads and head sizes.</summary>
public class LayersThatDifferTests
{
    private static readonly CacheGeometry Geometry = new(
        new AttentionLayer(0, Heads: 4, KvHeads: 1, HeadSizeK: 4, HeadSizeV: 2),
        new AttentionLayer(2, Heads: 6, KvHeads: 3, HeadSizeK: 2, HeadSizeV: 2),
        new AttentionLayer(3, Heads: 2, KvHeads: 2, HeadSizeK: 3, HeadSizeV: 1));

    [Fact]
    public void HeadLayout_ListOfAllHeads_IsLayerAfterLayer()
    {
        HeadLayout layout = Geometry.KvHeads;

        Assert.Equal((3, 6, 3, false), (layout.Layers, layout.Total, layout.Most, layout.IsUniform));
        Assert.Equal([0, 1, 4, 6], Enumerable.Range(0, 4).Select(layout.First));
        Assert.Equal([(0, 0), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1)], Enumerable.Range(0, 6).Select(layout.At));
        Assert.Equal("3 layers x 1, 3, 2", layout.ToString());
        Assert.Equal("2 layers x 3", HeadLayout.Uniform(2, 3).ToString());
        Assert.Equal(layout, new HeadLayout(1, 3, 2));
        Assert.Equal(layout.GetHashCode(), new HeadLayout(1, 3, 2).GetHashCode());
        Assert.NotEqual(layout, HeadLayout.Uniform(3, 2));
        Assert.Throws<ArgumentException>(() => new HeadLayout());
        Assert.Throws<ArgumentException>(() => new HeadLayout(1, 0));
        Assert.Throws<ArgumentException>(() => new HeadLayout(int.MaxValue, int.MaxValue));
        Assert.Throws<ArgumentOutOfRangeException>(() => HeadLayout.Uniform(0, 1));
    }

    [Fact]
    public void Budget_ByRatioAndRows_CountsRowsOfAllLists()
    {
        HeadLayout heads = Geometry.KvHeads;

        // 0.75 of 6 lists of 10 rows.
        Assert.Equal(15, Budget.FromRatio(0.75).RaggedRows(heads, 10).Units);
        Assert.Equal([2, 7, 5], Enumerable.Range(0, 3).Select(layer => Budget.FromRatio(0.75).LayerRows(heads, layer, 10)));
        Assert.Equal(24, Budget.FromRows(4).RaggedRows(heads, 10).Units);
        Assert.Equal(60, Budget.FromRows(40).RaggedRows(heads, 10).Units);
        Assert.Equal([4, 12, 8], Enumerable.Range(0, 3).Select(layer => Budget.FromRows(4).LayerRows(heads, layer, 10)));

        // A composite row takes as many rows as its layer has KV heads.
        RowLimit composite = Budget.FromRatio(0.75).CompositeRows(heads, 10);
        Assert.Equal(15, composite.Units);
        Assert.Equal([1, 3, 2], Enumerable.Range(0, 3).Select(composite.PerRow));
        Assert.Equal(5 + 3 * 2 + 2 * 2, composite.Of([5, 2, 2, 2, 2, 2]));
        Assert.Equal("15 rows", composite.ToString());

        // What they have in common is no unit of its own: 2 and 4 KV heads are 1 and 2.
        composite = Budget.FromRatio(0.75).CompositeRows(new HeadLayout(2, 4), 10);
        Assert.Equal((7, 1, 2, "14 rows"), (composite.Units, composite.PerRow(0), composite.PerRow(1), composite.ToString()));
    }

    [Fact]
    public void Budget_InBytes_CountsEachLayersOwn()
    {
        HeadLayout heads = Geometry.KvHeads;
        RowCost cost = new(12, 2) { BytesByLayer = [12, 8, 8] };

        // 12 + 3 * 8 + 2 * 8 = 52 bytes a token, two tokens of which are reserved; rows weigh 3, 2 and 2 times 4 bytes.
        RowLimit ragged = Budget.FromBytes(52 * 2 + 103).RaggedRows(heads, 10, cost);
        Assert.Equal((25, 3, 2, 2), (ragged.Units, ragged.PerRow(0), ragged.PerRow(1), ragged.PerRow(2)));
        Assert.Equal("100 bytes", ragged.ToString());
        Assert.Equal(3 + 2 * 5, ragged.Of([1, 2, 2, 1, 0, 0]));

        // 103 bytes by 52 are 1.98 rows of every KV head.
        Assert.Equal([1, 5, 3], Enumerable.Range(0, 3).Select(layer => Budget.FromBytes(52 * 2 + 103).LayerRows(heads, layer, 10, cost)));
        Assert.Equal(1, Budget.FromBytes(52 * 2 + 103).EqualRows(heads, 10, cost));
        Assert.Equal(2, Budget.FromBytes(52 * 4).EqualRows(heads, 10, cost));

        RowLimit composite = Budget.FromBytes(52 * 4).CompositeRows(heads, 10, cost);
        Assert.Equal((26, 3, 6, 4), (composite.Units, composite.PerRow(0), composite.PerRow(1), composite.PerRow(2)));
        Assert.Throws<PlanException>(() => Budget.FromBytes(52 * 2 - 1).EqualRows(heads, 10, cost));
        Assert.Throws<PlanException>(() => Budget.FromBytes(1000).EqualRows(heads, 10, cost with { BytesByLayer = [12, 0, 8] }));
    }

    [Fact]
    public void AttentionScores_LayersThatDiffer_HaveTheirOwnRows()
    {
        QueryMoments mean = new(QueryMoment.Mean);
        QueryMoments covariance = new(QueryMoment.Covariance);
        using AttentionScores scores = new(Geometry, 2,
        [
            new(new KeyNorms(), new StatisticValues(Count(12))),
            new(WindowAttention.All, new StatisticValues(Count(24), 2)),
            new(mean, new StatisticValues(Count(4 * 4 + 6 * 2 + 2 * 3), 1)),
            new(covariance, new StatisticValues(Count(4 * 16 + 6 * 4 + 2 * 9), 1)),
        ]);

        Assert.Equal([2, 3], scores.KeyNorms(1, 0).ToArray());
        Assert.Equal([10, 11], scores.KeyNorms(2, 1).ToArray());
        Assert.Equal([8, 9], scores.Values(WindowAttention.All, 1, 0).ToArray());
        Assert.Equal(12, scores.Values(WindowAttention.All, 1).Length);
        Assert.Equal([16, 17], scores.Values(mean, 1, 0).ToArray());
        Assert.Equal([31, 32, 33], scores.Values(mean, 2, 1).ToArray());
        Assert.Equal(9, scores.Values(covariance, 2, 1).Length);
        Assert.Equal(64 + 24 + 9, scores.Values(covariance, 2, 1)[0]);
        Assert.Equal((4, 2, 1), (scores.GroupSize(0), scores.GroupSize(1), scores.GroupSize(2)));
        float[] group = new float[2];
        scores.CopyGroupMean(WindowAttention.All, 1, 2, group);
        Assert.Equal([17, 18], group);
        Assert.Throws<ArgumentOutOfRangeException>(() => scores.KeyNorms(0, 1).Length);
        Assert.Throws<ArgumentException>(() => new AttentionScores(Geometry, 2, [new(mean, new StatisticValues(Count(36), 1))]));
    }

    [Fact]
    public void CompressionPlan_LayersThatDiffer_HaveTheirOwnHeads()
    {
        CompressionPlan plan = new(Geometry.KvHeads, 4, [2, 1, 1, 1, 0, 3], [0, 3, 1, 2, 3, 0, 1, 2]);

        Assert.Equal([2, 3, 3], Enumerable.Range(0, 3).Select(layer => plan.Rows(layer)));
        Assert.Equal([3], plan.Positions(1, 2).ToArray());
        Assert.Equal([0, 1, 2], plan.Positions(2, 1).ToArray());
        Assert.False(plan.IsComposite);
        Assert.True(new CompressionPlan(Geometry.KvHeads, 4, [2, 1, 1, 1, 0, 0], [0, 3, 1, 2, 3]).IsComposite);
        Assert.Equal("ragged plan: 8 of 24 rows kept (ratio 0.6667) in 3 layers x 1, 3, 2 KV heads, 0 to 3 rows each", plan.ToString());
        Assert.Throws<ArgumentOutOfRangeException>(() => plan.Rows(0, 1));
        Assert.Contains(
            "Layer 2, KV head 1 keeps 5 rows", Assert.Throws<PlanException>(() => new CompressionPlan(Geometry.KvHeads, 4, [0, 0, 0, 0, 0, 5], [])).Message, StringComparison.Ordinal);
        Assert.NotEqual(CompressionPlan.KeepAll(Geometry.KvHeads, 4), CompressionPlan.KeepAll(new HeadLayout(3, 1, 2), 4));
    }

    [Fact]
    public void KVCompose_CompositeRows_AreTakenWhileTheirLayersHeadsFit()
    {
        // Layer 0 has one KV head, layer 1 three: ranks 9, 7, 5, 3 cost 1 and ranks 8, 6, 4, 2 cost 3.
        CacheGeometry geometry = new(new AttentionLayer(0, 1, 1, 1, 1), new AttentionLayer(1, 3, 3, 1, 1));
        using AttentionScores scores = new(
            geometry, 4, [new(new TaskAttention(TaskSet.Context, AttentionAggregate.Max), new StatisticValues(TestScores.Buffer([9, 7, 5, 3, 8, 6, 4, 2, 8, 6, 4, 2, 8, 6, 4, 2]), 1))]);

        // 9, 8, 7 take 5 of 16 rows; 6 does not fit into 7 of them, nor what is worth less.
        Assert.Equal([2, 1, 1, 1], new KVCompose { Ratio = 11 / 16.0, Stabilize = false }.Plan(scores).Counts.ToArray());
        Assert.Equal([2, 1, 1, 1], new KVCompose { Ratio = 9 / 16.0, Stabilize = false }.Plan(scores).Counts.ToArray());
        Assert.Equal([2, 2, 2, 2], new KVCompose { Ratio = 8 / 16.0, Stabilize = false }.Plan(scores).Counts.ToArray());
    }

    [Fact]
    public void KVCompose_RowsOfOtherSizes_AreTakenWhileTheirBytesFit()
    {
        // Layer 0: ranks 9, 7, 5, 3 of 8 bytes; layer 1: ranks 8, 6, 4, 2 of 16 bytes.
        CacheGeometry geometry = new(new AttentionLayer(0, 1, 1, 2, 2), new AttentionLayer(1, 1, 1, 4, 4));
        RowCost cost = new(8) { BytesByLayer = [8, 16] };
        using AttentionScores scores = new(
            geometry, 4, [new(new TaskAttention(TaskSet.Context, AttentionAggregate.Max), new StatisticValues(TestScores.Buffer([9, 7, 5, 3, 8, 6, 4, 2]), 1))]);
        KVCompose policy = new() { Structured = false, Stabilize = false };

        // 9, 8 and 7 take 32 bytes; 6 takes 16 more, and nothing that is worth less comes before it.
        Assert.Equal([2, 1], Plan(32));
        Assert.Equal([2, 1], Plan(47));
        Assert.Equal([2, 2], Plan(48));

        int[] Plan(long bytes) => policy.WithBudget(Budget.FromBytes(bytes)).Plan(scores, cost).Counts.ToArray();
    }

    [Fact]
    public void KVCompose_RandomGeometries_KeepWithinTheBudgetAndWasteLessThanARow()
    {
        for (int seed = 0; seed < 400; seed++)
        {
            var random = new Random(seed);
            int tokens = random.Next(1, 90);
            KVCompose policy = new()
            {
                Structured = random.Next(3) > 0,
                Ratio = random.NextDouble(),
                RowMultiple = random.Next(2) == 0 ? 1 : random.Next(1, 9),
                LowerBound = random.Next(2) == 0 ? 0 : random.Next(0, 5),
            };
            using AttentionScores scores = RandomScores.For(policy.Request, random, tokens);

            CompressionPlan plan = policy.Plan(scores);

            long budget = policy.Budget.RaggedRows(scores.KvHeads, tokens).Units;
            int widest = policy.Structured ? scores.KvHeads.Most : 1;
            Assert.InRange(plan.TotalRows, Math.Max(0, budget - 2L * widest * policy.RowMultiple), budget);
            Assert.True(!policy.Structured || plan.IsComposite);
            Assert.Equal(plan, policy.Plan(scores));
        }
    }

    [Fact]
    public void PyramidKV_LayersThatDiffer_FallsAndKeepsTheMean()
    {
        CacheGeometry geometry = new(Enumerable.Range(0, 8).Select(layer => new AttentionLayer(layer, 4, layer < 4 ? 4 : 1, 1, 1)));
        PyramidKV policy = new() { Window = 8, Ratio = 0.6 };
        using AttentionScores scores = RandomScores.For(policy.Request, geometry, new Random(1), 500);

        CompressionPlan plan = policy.Plan(scores);

        int[] rows = [.. Enumerable.Range(0, 8).Select(layer => plan.Rows(layer, 0))];
        Assert.Equal(rows.OrderDescending(), rows);
        Assert.True(rows[0] > rows[7] + 100);
        Assert.InRange(plan.TotalRows, 20 * 200 - 20, 20 * 200);
    }

    [Fact]
    public void CompressKV_ShareRows_WeighsLayersByTheirHeads()
    {
        long[] perRow = [1, 3, 2];

        int[] rows = CompressKV.ShareRows([0.2, 0.7, 0.1], 100, 1000, layer => perRow[layer]);

        long units = rows.Select((own, layer) => own * perRow[layer]).Sum();
        Assert.InRange(units, 600 - 2, 600);
        Assert.True(rows[1] > rows[2]);
        Assert.All(rows, own => Assert.InRange(own, 32, 300));
    }

    [Fact]
    public void LUKV_ShareRows_WeighsRowsByWhatTheyTake()
    {
        int[] counts = LUKV.ShareRows([0.5, 0.25, 1], [3, 2, 2], 100, 50, 2);

        Assert.InRange(3 * counts[0] + 2 * (counts[1] + counts[2]), 99, 100);
        Assert.True(counts[2] > counts[0] && counts[0] > counts[1]);
    }

    private static ScoreBuffer Count(int length) => TestScores.Buffer([.. Enumerable.Range(0, length).Select(i => (float)i)]);
}
