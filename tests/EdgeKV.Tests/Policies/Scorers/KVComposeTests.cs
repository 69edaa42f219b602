using EdgeKV.Planning;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Scorers;

public class KVComposeTests
{
    // Two layers of two KV heads over four tokens, worked out by hand.
    //   layer 0: head 0 sorted 8 6 2 0, head 1 sorted 4 2 2 0 -> composite 6 4 2 0
    //   layer 1: head 0 sorted 9 1 1 1, head 1 sorted 5 3 1 1 -> composite 7 2 1 1
    private static readonly float[][][] Small =
    [
        [[6, 0, 8, 2], [2, 4, 0, 2]],
        [[1, 9, 1, 1], [3, 1, 5, 1]],
    ];

    private static readonly KVCompose Plain = new() { Stabilize = false };

    [Fact]
    public void Plan_Structured_SharesTheBudgetAmongLayersByCompositeScore()
    {
        using AttentionScores scores = TestScores.OneHeadPerGroup(Small);

        // keep(2 * 4) = 4 composite rows: 7, 6, 4 and the first of the two 2s, which is layer 0's.
        CompressionPlan plan = (Plain with { Ratio = 0.5 }).Plan(scores);

        Assert.Equal([3, 3, 1, 1], plan.Counts.ToArray());
        Assert.Equal([0, 2, 3], plan.Positions(0, 0).ToArray());
        Assert.Equal([0, 1, 3], plan.Positions(0, 1).ToArray());
        Assert.Equal([1], plan.Positions(1, 0).ToArray());
        Assert.Equal([2], plan.Positions(1, 1).ToArray());
        Assert.True(plan.IsComposite);
        Assert.Equal(0.5, plan.Ratio);
    }

    [Fact]
    public void Plan_Unstructured_SharesTheBudgetAmongAllHeads()
    {
        using AttentionScores scores = TestScores.OneHeadPerGroup(Small);

        // keep(16) = 8 of: 9 8 6 5 4 3, then one 2 of head (0, 0) and one of the two in head (0, 1), the earlier.
        CompressionPlan plan = (Plain with { Ratio = 0.5, Structured = false }).Plan(scores);

        Assert.Equal([3, 2, 1, 2], plan.Counts.ToArray());
        Assert.Equal([0, 2, 3], plan.Positions(0, 0).ToArray());
        Assert.Equal([0, 1], plan.Positions(0, 1).ToArray());
        Assert.Equal([1], plan.Positions(1, 0).ToArray());
        Assert.Equal([0, 2], plan.Positions(1, 1).ToArray());
        Assert.False(plan.IsComposite);
    }

    [Fact]
    public void Plan_Stabilized_AddsTheMeanOfTheHeads()
    {
        // Head 0: 4 0 1, head 1: 0 3 0. Means 2 1.5 0.5; sums 6 1.5 1.5 and 2 4.5 0.5.
        // Composite rows are then (6 + 4.5)/2, (1.5 + 2)/2, ...; two rows of head 0 are tokens 0 and, of the tied 1 and 2, the earlier.
        float[][][] max = [[[4, 0, 1], [0, 3, 0]]];
        using AttentionScores scores = TestScores.OneHeadPerGroup(max);
        Budget budget = Budget.FromRows(2);

        CompressionPlan stabilized = new KVCompose { Budget = budget }.Plan(scores);
        CompressionPlan plain = (Plain with { Budget = budget }).Plan(scores);

        Assert.Equal([0, 1], stabilized.Positions(0, 0).ToArray());
        Assert.Equal([0, 1], stabilized.Positions(0, 1).ToArray());
        Assert.Equal([0, 2], plain.Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_GroupedHeads_AveragesTheGroup()
    {
        // KV head 0 serves attention heads 0 and 1: means 2 3; KV head 1 serves 2 and 3: means 5 1.
        using AttentionScores scores = TestScores.Grouped([[[4, 2], [0, 4], [9, 0], [1, 2]]], kvHeads: 2);

        CompressionPlan plan = (Plain with { Budget = Budget.FromRows(1) }).Plan(scores);

        Assert.Equal([1], plan.Positions(0, 0).ToArray());
        Assert.Equal([0], plan.Positions(0, 1).ToArray());
    }

    [Fact]
    public void Plan_MeanAggregate_UsesSumsOverQueries()
    {
        using AttentionScores scores = TestScores.Of(
            1, 1, 1, 3, queries: 4, max: TestScores.Buffer([0.9f, 0.1f, 0.2f]), sum: TestScores.Buffer([0.9f, 1.2f, 1.0f]));
        KVCompose one = Plain with { Budget = Budget.FromRows(1) };

        Assert.Equal([0], one.Plan(scores).Positions(0, 0).ToArray());
        Assert.Equal([1], (one with { Aggregate = TaskAggregate.Mean }).Plan(scores).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_ValueNorm_WeighsScoresBeforeTheHeadMean()
    {
        // s: 3 2 and 1 1; norms 1 2 and 8 1 -> 3 4 and 8 1; head means 5.5 2.5 -> 8.5 6.5 and 13.5 3.5.
        using AttentionScores scores = TestScores.Of(
            1, 2, 2, 2, queries: 1, max: TestScores.Buffer([3, 2, 1, 1]), valueNorms: TestScores.Buffer([1, 2, 8, 1]));
        Budget one = Budget.FromRows(1);

        Assert.Equal([1], (Plain with { ValueNorm = true, Budget = one }).Plan(scores).Positions(0, 0).ToArray());
        Assert.Equal([0], new KVCompose { ValueNorm = true, Budget = one }.Plan(scores).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_CompositeMax_RanksLayersByTheirBestHead()
    {
        // Composite means 4 and 5, maxima 7 and 5.
        using AttentionScores scores = TestScores.OneHeadPerGroup([[[7, 0], [1, 0]], [[5, 0], [5, 0]]]);
        KVCompose one = Plain with { Ratio = 0.75 };

        Assert.Equal([0, 0, 1, 1], one.Plan(scores).Counts.ToArray());
        Assert.Equal([1, 1, 0, 0], (one with { Composite = CompositeScore.Max }).Plan(scores).Counts.ToArray());
    }

    [Fact]
    public void Plan_FirstLayerLargest_GivesLayerZeroTheLargestScores()
    {
        // Composite rows: 1 1 0 | 9 2 1 | 5 4 3. Layer 0 becomes 9 4 3: of five rows 9, 9, 5, 4 and 4.
        float[][][] max = [[[1, 1, 0]], [[9, 2, 1]], [[5, 4, 3]]];
        using AttentionScores scores = TestScores.OneHeadPerGroup(max);
        KVCompose policy = Plain with { Ratio = 0.4 };

        Assert.Equal([0, 2, 3], policy.Plan(scores).Counts.ToArray());
        Assert.Equal([2, 1, 2], (policy with { FirstLayerLargest = true }).Plan(scores).Counts.ToArray());
    }

    [Fact]
    public void Plan_FirstLayerLargestBudgetEndsInATie_LenderKeepsTheRow()
    {
        float[][][] max = [[[1, 1]], [[9, 2]]];
        using AttentionScores scores = TestScores.OneHeadPerGroup(max);

        CompressionPlan plan = (Plain with { Ratio = 0.75, FirstLayerLargest = true }).Plan(scores);

        Assert.Equal([0, 1], plan.Counts.ToArray());
    }

    [Fact]
    public void Plan_TiedScores_KeepsLowerLayerHeadAndPosition()
    {
        float[][][] flat = [[[1, 1, 1, 1], [1, 1, 1, 1]], [[1, 1, 1, 1], [1, 1, 1, 1]]];
        using AttentionScores scores = TestScores.OneHeadPerGroup(flat);

        CompressionPlan structured = new KVCompose { Ratio = 0.375 }.Plan(scores);
        CompressionPlan unstructured = new KVCompose { Ratio = 0.375, Structured = false }.Plan(scores);

        Assert.Equal([4, 4, 1, 1], structured.Counts.ToArray());
        Assert.Equal([0], structured.Positions(1, 0).ToArray());
        Assert.Equal([4, 4, 2, 0], unstructured.Counts.ToArray());
        Assert.Equal([0, 1], unstructured.Positions(1, 0).ToArray());
    }

    [Fact]
    public void Plan_NegativeZero_TiesWithZero()
    {
        using AttentionScores scores = TestScores.OneHeadPerGroup([[[-0f, 0f, -0f, 0f]]]);

        Assert.Equal([0, 1], (Plain with { Ratio = 0.5 }).Plan(scores).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_LowerBound_KeepsThatManyRowsEverywhere()
    {
        float[][][] max = [[[9, 8, 7, 6]], [[1, 3, 2, 0]]];
        using AttentionScores scores = TestScores.OneHeadPerGroup(max);
        KVCompose policy = Plain with { Ratio = 0.5 };

        Assert.Equal([4, 0], policy.Plan(scores).Counts.ToArray());
        Assert.Equal([3, 1], (policy with { LowerBound = 1 }).Plan(scores).Counts.ToArray());
        CompressionPlan plan = (policy with { LowerBound = 2, Structured = false }).Plan(scores);
        Assert.Equal([2, 2], plan.Counts.ToArray());
        Assert.Equal([1, 2], plan.Positions(1, 0).ToArray());
    }

    [Fact]
    public void Plan_LowerBoundAboveBudget_LowerLayersComeFirst()
    {
        using AttentionScores scores = TestScores.OneHeadPerGroup([[[1, 0, 0, 0]], [[9, 8, 7, 6]]]);

        CompressionPlan plan = (Plain with { Ratio = 0.625, LowerBound = 2 }).Plan(scores);

        Assert.Equal([2, 1], plan.Counts.ToArray());
        Assert.Equal([4, 4], (Plain with { Ratio = 0, LowerBound = int.MaxValue }).Plan(scores).Counts.ToArray());
    }

    [Fact]
    public void Plan_RowMultiple_KeepsBlocksAndSpendsWhatShortBlocksLeave()
    {
        // Five tokens in blocks of two: the third block of a layer is one row. Budget keep(10) = 7.
        // Blocks by their best row: layer 0 9 7 5, layer 1 8 1 0: 9, 8 and 7 make six rows, the one left is no block.
        float[][][] max = [[[9, 8, 7, 6, 5]], [[8, 2, 1, 1, 0]]];
        using AttentionScores scores = TestScores.OneHeadPerGroup(max);
        KVCompose policy = Plain with { Ratio = 0.25, RowMultiple = 2 };

        Assert.Equal([4, 2], policy.Plan(scores).Counts.ToArray());

        // Eight rows: 9, 8, 7 and the short block 5 make seven, and the one left is no block.
        Assert.Equal([5, 2], (policy with { Ratio = 0.2 }).Plan(scores).Counts.ToArray());

        // Nine rows: after those seven another block of two fits.
        Assert.Equal([5, 4], (policy with { Ratio = 0.1 }).Plan(scores).Counts.ToArray());
        Assert.Equal([5, 5], (policy with { Ratio = 0 }).Plan(scores).Counts.ToArray());
    }

    [Theory]
    [InlineData(true, 9)]
    [InlineData(false, 9)]
    public void Plan_RatioPointNineOfHundredRows_KeepsNine(bool structured, int expected)
    {
        using AttentionScores scores = TestScores.Of(1, 1, 1, 100, 1, TestScores.Buffer(TestScores.Random(1, 100)));

        Assert.Equal(expected, new KVCompose { Ratio = 0.9, Structured = structured }.Plan(scores).TotalRows);
    }

    [Fact]
    public void Plan_RatioZero_KeepsEveryRow()
    {
        using AttentionScores scores = TestScores.Of(3, 4, 2, 50, 1, TestScores.Buffer(TestScores.Random(2, 600)));

        Assert.Equal(CompressionPlan.KeepAll(3, 2, 50), new KVCompose { Ratio = 0 }.Plan(scores));
        Assert.Equal(CompressionPlan.KeepAll(3, 2, 50), new KVCompose { Ratio = 0, Structured = false }.Plan(scores));
    }

    [Fact]
    public void Plan_BudgetBelowOneRow_KeepsNothing()
    {
        using AttentionScores scores = TestScores.Of(1, 1, 1, 3, 1, TestScores.Buffer([1, 2, 3]));

        Assert.Equal(0, new KVCompose { Ratio = 0.9 }.Plan(scores).TotalRows);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void Plan_ScoreNotFinite_NamesWhere(float value)
    {
        using AttentionScores scores = TestScores.Of(5, 4, 2, 7, 1, TestScores.Buffer(TestScores.Broken(value, 5, 4, 7, (2, 3, 5))));

        foreach (bool structured in (bool[])[true, false])
        {
            PlanException error = Assert.Throws<PlanException>(() => new KVCompose { Structured = structured }.Plan(scores));
            Assert.Contains("Layer 2, attention head 3, token 5", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Plan_NormNotFinite_NamesWhere()
    {
        using AttentionScores scores = TestScores.Of(
            1, 2, 1, 2, 1, max: TestScores.Buffer([1, 2, 3, 4]), valueNorms: TestScores.Buffer([1, float.NaN]));

        PlanException error = Assert.Throws<PlanException>(() => new KVCompose { ValueNorm = true }.Plan(scores));

        Assert.Contains("KV head 0, token 1 has value norm NaN", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Plan_SumsOverflow_SaysSo()
    {
        using AttentionScores scores = TestScores.Of(1, 2, 1, 1, 1, TestScores.Buffer([float.MaxValue, float.MaxValue]));

        PlanException error = Assert.Throws<PlanException>(() => new KVCompose().Plan(scores));

        Assert.Contains("too large", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Plan_StatisticMissing_NamesIt()
    {
        using AttentionScores scores = TestScores.Of(1, 1, 1, 2, 1, max: TestScores.Buffer([1, 2]));

        PlanException noSum = Assert.Throws<PlanException>(() => new KVCompose { Aggregate = TaskAggregate.Mean }.Plan(scores));
        PlanException noNorm = Assert.Throws<PlanException>(() => new KVCompose { ValueNorm = true }.Plan(scores));

        Assert.Contains("sum(context)", noSum.Message, StringComparison.Ordinal);
        Assert.Contains("value norms", noNorm.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Plan_ScoresDisposed_Throws()
    {
        AttentionScores scores = TestScores.Of(2, 1, 1, 2, 1, max: TestScores.Buffer([1, 2, 3, 4]));
        scores.Dispose();

        Assert.Throws<ObjectDisposedException>(() => new KVCompose().Plan(scores));
    }

    [Fact]
    public void Plan_BudgetInBytes_StaysWithinThem()
    {
        using AttentionScores scores = TestScores.Of(2, 4, 2, 40, 1, TestScores.Buffer(TestScores.Random(4, 320)));
        var cost = new RowCost(BytesPerRow: 100, ReservedPerHead: 3);

        // 4 heads reserve 12 rows of 100 bytes; 4800 more are 48 rows, 24 composite ones.
        Budget budget = Budget.FromBytes(6_050);

        Assert.Equal(48, new KVCompose { Budget = budget }.Plan(scores, cost).TotalRows);
        Assert.Equal(48, new KVCompose { Budget = budget, Structured = false }.Plan(scores, cost).TotalRows);
        Assert.Throws<PlanException>(() => new KVCompose { Budget = budget }.Plan(scores));
    }

    [Fact]
    public void Request_Options_AskForWhatThePlanReads()
    {
        Assert.Equal(new ScoreRequest(new TaskAttention(TaskSet.Context, AttentionAggregate.Max)), new KVCompose().Request);
        Assert.Equal(
            new ScoreRequest(new ValueNorms(), new TaskAttention(TaskSet.Window(8), AttentionAggregate.Sum)),
            new KVCompose { Aggregate = TaskAggregate.Mean, ValueNorm = true, TaskSet = TaskSet.Window(8) }.Request);
    }

    [Fact]
    public void Options_OutOfRange_AreRefused()
    {
        using AttentionScores scores = TestScores.Of(1, 1, 1, 2, 1, max: TestScores.Buffer([1, 2]));

        Assert.Throws<ArgumentOutOfRangeException>(() => new KVCompose { Ratio = 1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new KVCompose { Ratio = double.NaN });
        Assert.Throws<ArgumentNullException>(() => new KVCompose { Ratio = null });
        Assert.Throws<ArgumentNullException>(() => new KVCompose { Budget = null! });
        Assert.Throws<ArgumentNullException>(() => new KVCompose { TaskSet = null! });
        Assert.Throws<ArgumentOutOfRangeException>(() => new KVCompose { LowerBound = -1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new KVCompose { RowMultiple = 0 });
        Assert.Throws<ArgumentException>(() => new KVCompose { FirstLayerLargest = true, Structured = false }.Plan(scores));
        Assert.Throws<ArgumentException>(() => new KVCompose { Aggregate = (TaskAggregate)7 }.Request);
        Assert.Throws<ArgumentException>(() => new KVCompose { Composite = (CompositeScore)7 }.Request);
    }

    [Fact]
    public void Equality_SameOptions_AreEqual()
    {
        Assert.Equal(new KVCompose { Ratio = 0.8, TaskSet = TaskSet.Question("Who?") }, new KVCompose { TaskSet = TaskSet.Question("Who?") });
        Assert.NotEqual(new KVCompose { Ratio = 0.8 }, new KVCompose { Ratio = 0.7 });
    }
}
