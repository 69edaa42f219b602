using EdgeKV.Planning;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Scorers;

public class GlobalTopKTests
{
    // Two layers of two KV heads over four tokens.
    private static readonly float[] Small =
    [
        -9, -2, -7, -3,
        -1, -8, -5, -6,
        -4, -4, 2, -12,
        -11, -10, -4, -2,
    ];

    private static readonly GlobalTopK Bare = new() { Protected = 0, Recent = 0 };

    [Fact]
    public void Plan_Learned_SharesTheBudgetAmongAllHeads()
    {
        using AttentionScores scores = Learned(Small, layers: 2, heads: 2);

        // keep(16) = 8 of: 2, -1, two of -2, -3, and the three -4 are all in.
        CompressionPlan plan = (Bare with { Ratio = 0.5 }).Plan(scores);

        Assert.Equal([2, 1, 3, 2], plan.Counts.ToArray());
        Assert.Equal([1, 3], plan.Positions(0, 0).ToArray());
        Assert.Equal([0], plan.Positions(0, 1).ToArray());
        Assert.Equal([0, 1, 2], plan.Positions(1, 0).ToArray());
        Assert.Equal([2, 3], plan.Positions(1, 1).ToArray());
        Assert.False(plan.IsComposite);
    }

    [Theory]

    // Scores 0, 1, 2, 3 by length of value 8, 4, 2, 1: e^s * w is 8, 10.9, 14.8, 20.1.
    [InlineData(RowScore.Learned, RowWeight.ValueNorm, new[] { 2, 3 })]

    // 0, 4, 4, 3: of equal ones all that fit.
    [InlineData(RowScore.Repeat, RowWeight.ValueNorm, new[] { 1, 2 })]
    [InlineData(RowScore.Repeat, RowWeight.None, new[] { 2, 3 })]

    // The mean of two attention heads, 50, 2, 1, 0.5: e^s * w is 50, 5.4, 7.4, 10.0.
    [InlineData(RowScore.Learned, RowWeight.OutputNorm, new[] { 0, 3 })]

    // 0, 2, 2, 1.5.
    [InlineData(RowScore.Repeat, RowWeight.OutputNorm, new[] { 1, 2 })]
    public void Plan_Weight_MultipliesAttention(RowScore source, RowWeight weight, int[] expected)
    {
        using AttentionScores scores = StatisticScores.Of(
            1,
            2,
            1,
            4,
            (new Learned(), [0, 1, 2, 3]),
            (new TaskAttention(TaskSet.Repeat, AttentionAggregate.Max), [0, 1, 2, 3, 0, 1, 2, 3]),
            (new ValueNorms(), [8, 4, 2, 1]),
            (new OutputNorms(NormKind.L2), [100, 1, 2, 0, 0, 3, 0, 1]));

        CompressionPlan plan = new GlobalTopK { Source = source, Weight = weight, Protected = 0, Recent = 0, Ratio = 0.5 }.Plan(scores);

        Assert.Equal(expected, plan.Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_TiedScores_KeepsLowerLayerHeadAndPosition()
    {
        using AttentionScores scores = Learned(Small, layers: 2, heads: 2);

        // keep(16) = 6: after five rows above -4, the first of the three.
        CompressionPlan six = (Bare with { Ratio = 0.6 }).Plan(scores);
        Assert.Equal([2, 1, 2, 1], six.Counts.ToArray());
        Assert.Equal([0, 2], six.Positions(1, 0).ToArray());

        using AttentionScores flat = Learned(new float[16], layers: 2, heads: 2);
        Assert.Equal([4, 2, 0, 0], (Bare with { Ratio = 0.6 }).Plan(flat).Counts.ToArray());
        Assert.Equal([0, 1], (Bare with { Ratio = 0.6 }).Plan(flat).Positions(0, 1).ToArray());
    }

    [Fact]
    public void Plan_NegativeZero_TiesWithZero()
    {
        using AttentionScores scores = Learned([-0f, 0f, -0f, 0f], layers: 1, heads: 1);

        Assert.Equal([0, 1], (Bare with { Ratio = 0.5 }).Plan(scores).Positions(0, 0).ToArray());
        Assert.Equal([0, 1, 2, 3], (Bare with { Threshold = 0 }).Plan(scores).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_Repeat_RanksTheMeanOfTheGroup()
    {
        // KV head 0: means 0.25 and 0.375; KV head 1: 0.5 and 0.125.
        using AttentionScores scores = TestScores.Grouped([[[0.5f, 0.25f], [0, 0.5f], [1, 0], [0, 0.25f]]], kvHeads: 2);

        CompressionPlan plan = new GlobalTopK { Source = RowScore.Repeat, Ratio = 0.5 }.Plan(scores);

        Assert.Equal([1], plan.Positions(0, 0).ToArray());
        Assert.Equal([0], plan.Positions(0, 1).ToArray());
    }

    [Fact]
    public void Plan_Both_RanksTheProduct()
    {
        // Seen: e^0, e^-1, e^-2, 0. Predicted: -4, -2, -2, +11. Sums: -4, -3, -4 and, for what was never seen, ln(1e-7) + 11 = -5.1.
        float[] seen = [1, MathF.Exp(-1), MathF.Exp(-2), 0];
        using AttentionScores scores = TestScores.Of(
            1, 1, 1, 4, 1, TestScores.Buffer(seen), learned: TestScores.Buffer([-4, -2, -2.5f, 11]));
        GlobalTopK both = Bare with { Source = RowScore.Both };

        Assert.Equal([1], (both with { Ratio = 0.75 }).Plan(scores).Positions(0, 0).ToArray());
        Assert.Equal([0, 1], (both with { Ratio = 0.5 }).Plan(scores).Positions(0, 0).ToArray());
        Assert.Equal([0, 1, 2], (both with { Threshold = -5 }).Plan(scores).Positions(0, 0).ToArray());
        Assert.Equal([0, 1, 2, 3], (both with { Threshold = -5.2 }).Plan(scores).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_Probed_RanksTheCorrectedPrediction()
    {
        // Seen: e^0, e^-1, e^-2, 0. Predicted: -4, -2, -2.5, 1. Half of both and 1: -1, -0.5, -1.25 and 1.5 + ln(1e-7) / 2 = -6.6.
        float[] seen = [1, MathF.Exp(-1), MathF.Exp(-2), 0];
        using AttentionScores scores = TestScores.Of(
            1, 1, 1, 4, 1, TestScores.Buffer(seen), learned: TestScores.Buffer([-4, -2, -2.5f, 1]), taskSet: TaskSet.Probe);
        GlobalTopK probed = Bare with { Source = RowScore.Probed, Correction = new ProbeCorrection(1, 1, new[] { 0.5f, 0.5f, 1 }) };

        Assert.Equal([1], (probed with { Ratio = 0.75 }).Plan(scores).Positions(0, 0).ToArray());
        Assert.Equal([0, 1], (probed with { Ratio = 0.5 }).Plan(scores).Positions(0, 0).ToArray());
        Assert.Equal([0, 1, 2], (probed with { Threshold = -1.3 }).Plan(scores).Positions(0, 0).ToArray());
        Assert.Equal([0, 1, 2, 3], (probed with { Threshold = -6.7 }).Plan(scores).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_Probed_TakesEachHeadsOwnNumbers()
    {
        // Two layers of two heads, of which only the last adds anything.
        float[] numbers = [1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 9];
        using AttentionScores scores = TestScores.Of(
            2, 2, 2, 2, 1, TestScores.Buffer(new float[8]), learned: TestScores.Buffer([1, 2, 3, 4, 5, 6, -3, -4]), taskSet: TaskSet.Probe);

        CompressionPlan plan = (Bare with { Source = RowScore.Probed, Ratio = 0.625, Correction = new ProbeCorrection(2, 2, numbers) }).Plan(scores);

        // 6, 5 and -3 + 9 of eight rows.
        Assert.Equal([0, 0, 2, 1], plan.Counts.ToArray());
        Assert.Equal([0], plan.Positions(1, 1).ToArray());
    }

    [Fact]
    public void Plan_ProbedWithoutItsCorrection_NamesWhatMakesIt()
    {
        using AttentionScores scores = TestScores.Of(
            1, 1, 1, 2, 1, TestScores.Buffer(new float[2]), learned: TestScores.Buffer([1, 2]), taskSet: TaskSet.Probe);
        var probed = new GlobalTopK { Source = RowScore.Probed };

        Assert.Contains("edgekv calibrate MODEL --for global", Assert.Throws<ArgumentException>(() => probed.Plan(scores)).Message, StringComparison.Ordinal);

        PlanException foreign = Assert.Throws<PlanException>(() => (probed with { Correction = new ProbeCorrection(1, 2, new float[6]) }).Plan(scores));
        Assert.Contains("1 layers x 2 KV heads, but the scores are of 1 x 1", foreign.Message, StringComparison.Ordinal);

        // As a scorer below a wrapper too, where the layers are scored apart.
        foreign = Assert.Throws<PlanException>(() => new AdaKV { Scorer = probed with { Correction = new ProbeCorrection(2, 1, new float[6]) } }.Plan(scores));
        Assert.Contains("2 layers x 1 KV heads", foreign.Message, StringComparison.Ordinal);

        GlobalTopK two = probed with { Correction = new ProbeCorrection(1, 1, new float[3]), TaskSet = TaskSet.Context };
        Assert.Contains("leave out the task set context", Assert.Throws<ArgumentException>(() => two.Request).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Correction_WrongNumbers_AreRefused()
    {
        Assert.Throws<ArgumentException>(() => new ProbeCorrection(1, 2, new float[5]));
        Assert.Throws<ArgumentException>(() => new ProbeCorrection(1, 1, new[] { 1, float.NaN, 0 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => new ProbeCorrection(0, 1, default));
        Assert.Equal(new ProbeCorrection(1, 1, new float[] { 1, 2, 3 }), new ProbeCorrection(1, 1, new float[] { 1, 2, 3 }));
        Assert.NotEqual(new ProbeCorrection(1, 1, new float[] { 1, 2, 3 }), new ProbeCorrection(1, 1, new float[] { 1, 2, 4 }));
    }

    [Fact]
    public void Plan_ProtectedRows_RankAboveAllOthersAndUseUpTheBudget()
    {
        float[] rising = [.. Enumerable.Range(0, 20).Select(i => (float)i)];
        using AttentionScores scores = Learned(rising, layers: 1, heads: 2);

        Assert.Equal([0, 1, 2, 3, 0, 1, 2, 3, 8, 9], new GlobalTopK { Ratio = 0.5, Recent = 0 }.Plan(scores).FlatPositions.ToArray());
        Assert.Equal([0, 1, 2, 3, 9, 0, 1, 2, 3, 9], new GlobalTopK { Ratio = 0.5 }.Plan(scores).FlatPositions.ToArray());
        Assert.Equal(
            [0, 1, 8, 9, 0, 1, 6, 7, 8, 9], new GlobalTopK { Ratio = 0.5, Protected = 2, Recent = 2 }.Plan(scores).FlatPositions.ToArray());
        Assert.Equal(
            [8, 9, 2, 3, 4, 5, 6, 7, 8, 9], (Bare with { Ratio = 0.5, Recent = 2 }).Plan(scores).FlatPositions.ToArray());
    }

    [Fact]
    public void Plan_BudgetBelowProtectedRows_FirstPositionsComeBeforeTheMostRecent()
    {
        float[] rising = [.. Enumerable.Range(0, 20).Select(i => (float)i)];
        using AttentionScores scores = Learned(rising, layers: 1, heads: 2);
        var policy = new GlobalTopK { Protected = 2, Recent = 3 };

        // Seven rows: four first positions, both heads' position 9, then position 8 of head 0.
        Assert.Equal([0, 1, 8, 9, 0, 1, 9], (policy with { Ratio = 0.65 }).Plan(scores).FlatPositions.ToArray());

        // Three: the first positions of the lower head first.
        Assert.Equal([0, 1, 0], (policy with { Ratio = 0.85 }).Plan(scores).FlatPositions.ToArray());
    }

    [Fact]
    public void Plan_MoreProtectedThanTokens_KeepsAll()
    {
        using AttentionScores scores = Learned([1, 2, 3], layers: 1, heads: 1);

        var policy = new GlobalTopK { Threshold = 100, Protected = int.MaxValue, Recent = int.MaxValue };

        Assert.Equal([0, 1, 2], policy.Plan(scores).FlatPositions.ToArray());
        Assert.Equal([0, 1, 2], (policy with { Protected = 0 }).Plan(scores).FlatPositions.ToArray());
        Assert.Equal([0], (policy with { Ratio = 0.5 }).Plan(scores).FlatPositions.ToArray());
    }

    [Fact]
    public void ProtectedAndRecent_NotGiven_DependOnTheSource()
    {
        Assert.Equal(4, new GlobalTopK().Recent);
        Assert.Equal(4, new GlobalTopK { Source = RowScore.Both }.Recent);
        Assert.Equal(4, new GlobalTopK { Source = RowScore.Probed }.Recent);
        Assert.Equal(4, new GlobalTopK { Source = RowScore.Probed }.Protected);
        Assert.Equal(0, new GlobalTopK { Source = RowScore.Repeat }.Recent);
        Assert.Equal(7, new GlobalTopK { Source = RowScore.Repeat, Recent = 7 }.Recent);
        Assert.Equal(4, new GlobalTopK().Protected);
        Assert.Equal(4, new GlobalTopK { Source = RowScore.Both }.Protected);
        Assert.Equal(0, new GlobalTopK { Source = RowScore.Repeat }.Protected);
        Assert.Equal(0, (Bare with { Source = RowScore.Both }).Protected);
        Assert.Equal(7, new GlobalTopK { Source = RowScore.Repeat, Protected = 7 }.Protected);
    }

    [Fact]
    public void Plan_Threshold_KeepsWhatReachesIt()
    {
        using AttentionScores scores = Learned(Small, layers: 2, heads: 2);
        GlobalTopK policy = Bare with { Threshold = -4 };

        Assert.Equal([2, 1, 3, 2], policy.Plan(scores).Counts.ToArray());
        Assert.Equal([2, 1, 1, 1], (Bare with { Threshold = -3.9999999999 }).Plan(scores).Counts.ToArray());
        Assert.Equal(0, (Bare with { Threshold = 3 }).Plan(scores).TotalRows);
        Assert.Equal(0, (Bare with { Threshold = 1e300 }).Plan(scores).TotalRows);
        Assert.Equal(16, (Bare with { Threshold = -1e300 }).Plan(scores).TotalRows);

        // Position 0 of all heads, and -2, -3 | | -4, 2 | -4, -2.
        Assert.Equal([3, 1, 3, 3], (policy with { Protected = 1 }).Plan(scores).Counts.ToArray());
        Assert.Equal([0, 0, 0, 0], (policy with { Threshold = 3, Protected = 1 }).Plan(scores).FlatPositions.ToArray());
    }

    [Fact]
    public void Plan_ThresholdAndBudget_BudgetIsTheUpperBoundOnlyIfGiven()
    {
        using AttentionScores scores = Learned(Small, layers: 2, heads: 2);
        GlobalTopK policy = Bare with { Threshold = -4 };

        Assert.Equal(Budget.FromRatio(0), policy.Budget);
        Assert.Equal(Budget.FromRatio(0.8), Bare.Budget);
        Assert.Equal(8, policy.Plan(scores).TotalRows);
        Assert.Equal(8, (policy with { Ratio = 0.25 }).Plan(scores).TotalRows);
        Assert.Equal((Bare with { Ratio = 0.6 }).Plan(scores), (policy with { Ratio = 0.6 }).Plan(scores));
    }

    [Fact]
    public void Plan_ThresholdOfRepeatScores_IsALogarithmOfAttention()
    {
        using AttentionScores scores = TestScores.OneHeadPerGroup([[[0.5f, 0.25f, 1e-3f, 0]]]);
        var repeat = new GlobalTopK { Source = RowScore.Repeat };

        Assert.Equal([0, 1], (repeat with { Threshold = Math.Log(0.25) }).Plan(scores).FlatPositions.ToArray());
        Assert.Equal([0], (repeat with { Threshold = Math.Log(0.2501) }).Plan(scores).FlatPositions.ToArray());
        Assert.Equal([0, 1, 2], (repeat with { Threshold = -16 }).Plan(scores).FlatPositions.ToArray());

        // ln(0 + 1e-7) = -16.118.
        Assert.Equal([0, 1, 2, 3], (repeat with { Threshold = -16.119 }).Plan(scores).FlatPositions.ToArray());
    }

    [Theory]
    [InlineData(RowScore.Learned)]
    [InlineData(RowScore.Repeat)]
    [InlineData(RowScore.Both)]
    public void Plan_RatioZero_KeepsEveryRow(RowScore source)
    {
        using AttentionScores scores = TestScores.Of(
            3, 4, 2, 50, 1, TestScores.Buffer(TestScores.Random(2, 600)), learned: TestScores.Buffer(TestScores.Random(3, 300)));

        Assert.Equal(CompressionPlan.KeepAll(3, 2, 50), new GlobalTopK { Source = source, Ratio = 0 }.Plan(scores));
        Assert.Equal(0, new GlobalTopK { Source = source, Ratio = 0.999 }.Plan(scores).TotalRows);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void Plan_ScoreNotFinite_NamesWhere(float value)
    {
        using AttentionScores scores = TestScores.Of(
            5,
            4,
            2,
            7,
            1,
            TestScores.Buffer(TestScores.Broken(value, 5, 4, 7, (2, 3, 5))),
            learned: TestScores.Buffer(TestScores.Broken(value, 5, 2, 7, (3, 1, 2))));

        foreach (RowScore source in (RowScore[])[RowScore.Repeat, RowScore.Both])
        {
            PlanException seen = Assert.Throws<PlanException>(() => new GlobalTopK { Source = source }.Plan(scores));
            Assert.Contains("Layer 2, attention head 3, token 5", seen.Message, StringComparison.Ordinal);
        }

        PlanException predicted = Assert.Throws<PlanException>(() => new GlobalTopK { Threshold = -5, Protected = 7 }.Plan(scores));
        Assert.Contains("Layer 3, KV head 1, token 2 has learned ", predicted.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Plan_NegativeAttention_NamesWhere()
    {
        using AttentionScores scores = TestScores.Of(1, 1, 1, 2, 1, TestScores.Buffer([1, -1]), learned: TestScores.Buffer([1, 2]));

        PlanException error = Assert.Throws<PlanException>(() => new GlobalTopK { Source = RowScore.Both }.Plan(scores));

        Assert.Contains("Layer 0, KV head 0, token 1 has global score", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Plan_StatisticMissing_NamesIt()
    {
        using AttentionScores seen = TestScores.Of(1, 1, 1, 2, 1, max: TestScores.Buffer([1, 2]));
        using AttentionScores predicted = TestScores.Of(1, 1, 1, 2, 0, learned: TestScores.Buffer([1, 2]));

        PlanException noMax = Assert.Throws<PlanException>(() => new GlobalTopK { Source = RowScore.Repeat }.Plan(predicted));
        PlanException noLearned = Assert.Throws<PlanException>(() => new GlobalTopK { Source = RowScore.Both }.Plan(seen));

        Assert.Contains("needs max(repeat), but the scores hold learned", noMax.Message, StringComparison.Ordinal);
        Assert.Contains("max(repeat), learned", noLearned.Message, StringComparison.Ordinal);
        Assert.Equal(2, new GlobalTopK { Ratio = 0 }.Plan(predicted).TotalRows);
    }

    [Fact]
    public void Plan_ScoresDisposed_Throws()
    {
        AttentionScores scores = Learned([1, 2, 3, 4], layers: 2, heads: 1);
        scores.Dispose();

        Assert.Throws<ObjectDisposedException>(() => new GlobalTopK().Plan(scores));
    }

    [Fact]
    public void Plan_BudgetInBytes_StaysWithinThem()
    {
        using AttentionScores scores = Learned(TestScores.Random(4, 160), layers: 2, heads: 2);
        var cost = new RowCost(BytesPerRow: 100, ReservedPerHead: 3);

        // 4 heads reserve 12 rows of 100 bytes; 4800 more are 48 rows.
        Assert.Equal(48, new GlobalTopK { Budget = Budget.FromBytes(6_050) }.Plan(scores, cost).TotalRows);
        Assert.Equal(48, new GlobalTopK { Budget = Budget.FromBytes(6_050), Threshold = -5 }.Plan(scores, cost).TotalRows);
        Assert.Throws<PlanException>(() => new GlobalTopK { Budget = Budget.FromBytes(6_050) }.Plan(scores));
    }

    [Fact]
    public void Request_Sources_AskForWhatThePlanReads()
    {
        Assert.Equal(new ScoreRequest(new Learned()), new GlobalTopK().Request);
        Assert.False(new GlobalTopK().Request.NeedsAttention);
        Assert.Equal(new ScoreRequest(new TaskAttention(TaskSet.Repeat, AttentionAggregate.Max)), new GlobalTopK { Source = RowScore.Repeat }.Request);
        Assert.Equal(
            new ScoreRequest(new TaskAttention(TaskSet.Window(8), AttentionAggregate.Max), new Learned()),
            new GlobalTopK { Source = RowScore.Both, TaskSet = TaskSet.Window(8) }.Request);
    }

    [Theory]
    [InlineData(RowScore.Learned, "learned")]
    [InlineData(RowScore.Repeat, "repeat")]
    [InlineData(RowScore.Both, "both")]
    [InlineData(RowScore.Probed, "probed")]
    public void Name_AnySource_IsThePolicysAndTheRequestNamesTheScores(RowScore source, string scores)
    {
        var policy = new GlobalTopK { Source = source, Correction = new ProbeCorrection(1, 1, new float[3]) };

        Assert.Equal("global", policy.Name);
        Assert.Equal(scores, policy.Request.Name);
    }

    [Fact]
    public void Options_OutOfRange_AreRefused()
    {
        using AttentionScores scores = Learned([1, 2], layers: 1, heads: 1);

        Assert.Throws<ArgumentOutOfRangeException>(() => new GlobalTopK { Ratio = 1 });
        Assert.Throws<ArgumentNullException>(() => new GlobalTopK { Ratio = null });
        Assert.Throws<ArgumentNullException>(() => new GlobalTopK { Budget = null! });
        Assert.Throws<ArgumentNullException>(() => new GlobalTopK { TaskSet = null! });
        Assert.Throws<ArgumentOutOfRangeException>(() => new GlobalTopK { Protected = -1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new GlobalTopK { Recent = -1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new GlobalTopK { Threshold = double.NaN });
        Assert.Throws<ArgumentOutOfRangeException>(() => new GlobalTopK { Threshold = double.NegativeInfinity });
        Assert.Throws<ArgumentException>(() => new GlobalTopK { Source = (RowScore)7 }.Request);
        Assert.Throws<ArgumentException>(() => new GlobalTopK { Source = (RowScore)7 }.Plan(scores));
    }

    [Fact]
    public void Equality_SameOptions_AreEqual()
    {
        Assert.Equal(
            new GlobalTopK { Ratio = 0.9, TaskSet = TaskSet.Question("Who?") },
            new GlobalTopK { Ratio = 0.9, TaskSet = TaskSet.Question("Who?") });
        Assert.NotEqual(new GlobalTopK { Recent = 1 }, new GlobalTopK());
        Assert.Null((new GlobalTopK { Threshold = -5 } with { Threshold = null }).Threshold);
    }

    private static AttentionScores Learned(float[] values, int layers, int heads) =>
        TestScores.Of(layers, heads, heads, values.Length / layers / heads, queries: 0, learned: TestScores.Buffer(values));
}
