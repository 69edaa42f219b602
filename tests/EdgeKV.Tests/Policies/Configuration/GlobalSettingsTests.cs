using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Configuration;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Configuration;

public class GlobalSettingsTests
{
    // Two layers of two KV heads over four tokens.
    private static readonly float[] Small =
    [
        -9, -2, -7, -3,
        -1, -8, -5, -6,
        -4, -4, 2, -12,
        -11, -10, -4, -2,
    ];

    private static readonly GlobalSettings Bare = new() { Protected = 0, Recent = 0 };

    [Fact]
    public void Plan_Learned_SharesTheBudgetAmongAllHeads()
    {
        using AttentionScores scores = Learned(Small, layers: 2, heads: 2);

        // keep(16) = 8 of: 2, -1, two of -2, -3, and the three -4 are all in.
        CompressionPlan plan = (Bare with { Budget = Budget.FromRatio(0.5) }).Plan(scores);

        Assert.Equal([2, 1, 3, 2], plan.Counts.ToArray());
        Assert.Equal([1, 3], plan.Positions(0, 0).ToArray());
        Assert.Equal([0], plan.Positions(0, 1).ToArray());
        Assert.Equal([0, 1, 2], plan.Positions(1, 0).ToArray());
        Assert.Equal([2, 3], plan.Positions(1, 1).ToArray());
        Assert.False(plan.IsComposite);
    }

    [Theory]

    // Scores 0, 1, 2, 3 by length of value 8, 4, 2, 1: e^s * w is 8, 10.9, 14.8, 20.1.
    [InlineData(nameof(RowScore.Learned), nameof(RowWeight.ValueNorm), new[] { 2, 3 })]

    // 0, 4, 4, 3: of equal ones all that fit.
    [InlineData(nameof(RowScore.Repeat), nameof(RowWeight.ValueNorm), new[] { 1, 2 })]
    [InlineData(nameof(RowScore.Repeat), nameof(RowWeight.None), new[] { 2, 3 })]

    // The mean of two attention heads, 50, 2, 1, 0.5: e^s * w is 50, 5.4, 7.4, 10.0.
    [InlineData(nameof(RowScore.Learned), nameof(RowWeight.OutputNorm), new[] { 0, 3 })]

    // 0, 2, 2, 1.5.
    [InlineData(nameof(RowScore.Repeat), nameof(RowWeight.OutputNorm), new[] { 1, 2 })]
    public void Plan_Weight_MultipliesAttention(string source, string weight, int[] expected)
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

        CompressionPlan plan = new GlobalSettings { Source = Enum.Parse<RowScore>(source), Weight = Enum.Parse<RowWeight>(weight), Protected = 0, Recent = 0, Budget = Budget.FromRatio(0.5) }.Plan(scores);

        Assert.Equal(expected, plan.Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_TiedScores_KeepsLowerLayerHeadAndPosition()
    {
        using AttentionScores scores = Learned(Small, layers: 2, heads: 2);

        // keep(16) = 6: after five rows above -4, the first of the three.
        CompressionPlan six = (Bare with { Budget = Budget.FromRatio(0.6) }).Plan(scores);
        Assert.Equal([2, 1, 2, 1], six.Counts.ToArray());
        Assert.Equal([0, 2], six.Positions(1, 0).ToArray());

        using AttentionScores flat = Learned(new float[16], layers: 2, heads: 2);
        Assert.Equal([4, 2, 0, 0], (Bare with { Budget = Budget.FromRatio(0.6) }).Plan(flat).Counts.ToArray());
        Assert.Equal([0, 1], (Bare with { Budget = Budget.FromRatio(0.6) }).Plan(flat).Positions(0, 1).ToArray());
    }

    [Fact]
    public void Plan_NegativeZero_TiesWithZero()
    {
        using AttentionScores scores = Learned([-0f, 0f, -0f, 0f], layers: 1, heads: 1);

        Assert.Equal([0, 1], (Bare with { Budget = Budget.FromRatio(0.5) }).Plan(scores).Positions(0, 0).ToArray());
        Assert.Equal([0, 1, 2, 3], (Bare with { Threshold = 0 }).Plan(scores).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_Repeat_RanksTheMeanOfTheGroup()
    {
        // KV head 0: means 0.25 and 0.375; KV head 1: 0.5 and 0.125.
        using AttentionScores scores = TestScores.Grouped([[[0.5f, 0.25f], [0, 0.5f], [1, 0], [0, 0.25f]]], kvHeads: 2);

        CompressionPlan plan = new GlobalSettings { Source = RowScore.Repeat, Budget = Budget.FromRatio(0.5) }.Plan(scores);

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
        GlobalSettings both = Bare with { Source = RowScore.Both };

        Assert.Equal([1], (both with { Budget = Budget.FromRatio(0.75) }).Plan(scores).Positions(0, 0).ToArray());
        Assert.Equal([0, 1], (both with { Budget = Budget.FromRatio(0.5) }).Plan(scores).Positions(0, 0).ToArray());
        Assert.Equal([0, 1, 2], (both with { Threshold = -5 }).Plan(scores).Positions(0, 0).ToArray());
        Assert.Equal([0, 1, 2, 3], (both with { Threshold = -5.2 }).Plan(scores).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_ProtectedRows_RankAboveAllOthersAndUseUpTheBudget()
    {
        float[] rising = [.. Enumerable.Range(0, 20).Select(i => (float)i)];
        using AttentionScores scores = Learned(rising, layers: 1, heads: 2);

        Assert.Equal([0, 1, 2, 3, 0, 1, 2, 3, 8, 9], new GlobalSettings { Budget = Budget.FromRatio(0.5), Recent = 0 }.Plan(scores).FlatPositions.ToArray());
        Assert.Equal([0, 1, 2, 3, 9, 0, 1, 2, 3, 9], new GlobalSettings { Budget = Budget.FromRatio(0.5) }.Plan(scores).FlatPositions.ToArray());
        Assert.Equal(
            [0, 1, 8, 9, 0, 1, 6, 7, 8, 9], new GlobalSettings { Budget = Budget.FromRatio(0.5), Protected = 2, Recent = 2 }.Plan(scores).FlatPositions.ToArray());
        Assert.Equal(
            [8, 9, 2, 3, 4, 5, 6, 7, 8, 9], (Bare with { Budget = Budget.FromRatio(0.5), Recent = 2 }).Plan(scores).FlatPositions.ToArray());
    }

    [Fact]
    public void Plan_BudgetBelowProtectedRows_FirstPositionsComeBeforeTheMostRecent()
    {
        float[] rising = [.. Enumerable.Range(0, 20).Select(i => (float)i)];
        using AttentionScores scores = Learned(rising, layers: 1, heads: 2);
        var policy = new GlobalSettings { Protected = 2, Recent = 3 };

        // Seven rows: four first positions, both heads' position 9, then position 8 of head 0.
        Assert.Equal([0, 1, 8, 9, 0, 1, 9], (policy with { Budget = Budget.FromRatio(0.65) }).Plan(scores).FlatPositions.ToArray());

        // Three: the first positions of the lower head first.
        Assert.Equal([0, 1, 0], (policy with { Budget = Budget.FromRatio(0.85) }).Plan(scores).FlatPositions.ToArray());
    }

    [Fact]
    public void Plan_MoreProtectedThanTokens_KeepsAll()
    {
        using AttentionScores scores = Learned([1, 2, 3], layers: 1, heads: 1);

        var policy = new GlobalSettings { Threshold = 100, Protected = int.MaxValue, Recent = int.MaxValue };

        Assert.Equal([0, 1, 2], policy.Plan(scores).FlatPositions.ToArray());
        Assert.Equal([0, 1, 2], (policy with { Protected = 0 }).Plan(scores).FlatPositions.ToArray());
        Assert.Equal([0], (policy with { Budget = Budget.FromRatio(0.5) }).Plan(scores).FlatPositions.ToArray());
    }

    [Fact]
    public void ProtectedAndRecent_NotGiven_DependOnTheSource()
    {
        Assert.Equal(4, new GlobalSettings().Recent);
        Assert.Equal(4, new GlobalSettings { Source = RowScore.Both }.Recent);
        Assert.Equal(4, new GlobalSettings { Source = RowScore.Probed }.Recent);
        Assert.Equal(4, new GlobalSettings { Source = RowScore.Probed }.Protected);
        Assert.Equal(0, new GlobalSettings { Source = RowScore.Repeat }.Recent);
        Assert.Equal(7, new GlobalSettings { Source = RowScore.Repeat, Recent = 7 }.Recent);
        Assert.Equal(4, new GlobalSettings().Protected);
        Assert.Equal(4, new GlobalSettings { Source = RowScore.Both }.Protected);
        Assert.Equal(0, new GlobalSettings { Source = RowScore.Repeat }.Protected);
        Assert.Equal(0, (Bare with { Source = RowScore.Both }).Protected);
        Assert.Equal(7, new GlobalSettings { Source = RowScore.Repeat, Protected = 7 }.Protected);
    }

    [Fact]
    public void Plan_Threshold_KeepsWhatReachesIt()
    {
        using AttentionScores scores = Learned(Small, layers: 2, heads: 2);
        GlobalSettings policy = Bare with { Threshold = -4 };

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
    public void ToPolicy_ThresholdOfNoWeight_IsALimitThatNothingReaches() =>
        Assert.Equal(double.MaxValue, new GlobalSettings { Source = RowScore.Repeat, Threshold = 1e308 }.ToPolicy().Limit);

    [Fact]
    public void Plan_ThresholdAndBudget_BudgetIsTheUpperBoundOnlyIfGiven()
    {
        using AttentionScores scores = Learned(Small, layers: 2, heads: 2);
        GlobalSettings policy = Bare with { Threshold = -4 };

        Assert.Equal(Budget.FromRatio(0), policy.ToPolicy().Budget);
        Assert.Equal(Budget.FromRatio(0.8), Bare.ToPolicy().Budget);
        Assert.Equal(8, policy.Plan(scores).TotalRows);
        Assert.Equal(8, (policy with { Budget = Budget.FromRatio(0.25) }).Plan(scores).TotalRows);
        Assert.Equal((Bare with { Budget = Budget.FromRatio(0.6) }).Plan(scores), (policy with { Budget = Budget.FromRatio(0.6) }).Plan(scores));
    }

    [Fact]
    public void Plan_ThresholdOfRepeatScores_IsALogarithmOfAttention()
    {
        using AttentionScores scores = TestScores.OneHeadPerGroup([[[0.5f, 0.25f, 1e-3f, 0]]]);
        var repeat = new GlobalSettings { Source = RowScore.Repeat };

        Assert.Equal([0, 1], (repeat with { Threshold = Math.Log(0.25) }).Plan(scores).FlatPositions.ToArray());
        Assert.Equal([0], (repeat with { Threshold = Math.Log(0.2501) }).Plan(scores).FlatPositions.ToArray());
        Assert.Equal([0, 1, 2], (repeat with { Threshold = -16 }).Plan(scores).FlatPositions.ToArray());

        // ln(0 + 1e-7) = -16.118.
        Assert.Equal([0, 1, 2, 3], (repeat with { Threshold = -16.119 }).Plan(scores).FlatPositions.ToArray());
    }

    [Theory]
    [InlineData(nameof(RowScore.Learned))]
    [InlineData(nameof(RowScore.Repeat))]
    [InlineData(nameof(RowScore.Both))]
    public void Plan_RatioZero_KeepsEveryRow(string source)
    {
        using AttentionScores scores = TestScores.Of(
            3, 4, 2, 50, 1, TestScores.Buffer(TestScores.Random(2, 600)), learned: TestScores.Buffer(TestScores.Random(3, 300)));

        Assert.Equal(CompressionPlan.KeepAll(3, 2, 50), new GlobalSettings { Source = Enum.Parse<RowScore>(source), Budget = Budget.FromRatio(0) }.Plan(scores));
        Assert.Equal(0, new GlobalSettings { Source = Enum.Parse<RowScore>(source), Budget = Budget.FromRatio(0.999) }.Plan(scores).TotalRows);
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
            PlanException seen = Assert.Throws<PlanException>(() => new GlobalSettings { Source = source }.Plan(scores));
            Assert.Contains("Layer 2, attention head 3, token 5", seen.Message, StringComparison.Ordinal);
        }

        PlanException predicted = Assert.Throws<PlanException>(() => new GlobalSettings { Threshold = -5, Protected = 7 }.Plan(scores));
        Assert.Contains("Layer 3, KV head 1, token 2 has learned ", predicted.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Plan_NegativeAttention_NamesWhere()
    {
        using AttentionScores scores = TestScores.Of(1, 1, 1, 2, 1, TestScores.Buffer([1, -1]), learned: TestScores.Buffer([1, 2]));

        PlanException error = Assert.Throws<PlanException>(() => new GlobalSettings { Source = RowScore.Both }.Plan(scores));

        Assert.Contains("Layer 0, KV head 0, token 1 has repeat+learned score", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Plan_StatisticMissing_NamesIt()
    {
        using AttentionScores seen = TestScores.Of(1, 1, 1, 2, 1, max: TestScores.Buffer([1, 2]));
        using AttentionScores predicted = TestScores.Of(1, 1, 1, 2, 0, learned: TestScores.Buffer([1, 2]));

        PlanException noMax = Assert.Throws<PlanException>(() => new GlobalSettings { Source = RowScore.Repeat }.Plan(predicted));
        PlanException noLearned = Assert.Throws<PlanException>(() => new GlobalSettings { Source = RowScore.Both }.Plan(seen));

        Assert.Contains("needs max(repeat), but the scores hold learned", noMax.Message, StringComparison.Ordinal);
        Assert.Contains("max(repeat), learned", noLearned.Message, StringComparison.Ordinal);
        Assert.Equal(2, new GlobalSettings { Budget = Budget.FromRatio(0) }.Plan(predicted).TotalRows);
    }

    [Fact]
    public void Plan_ScoresDisposed_Throws()
    {
        AttentionScores scores = Learned([1, 2, 3, 4], layers: 2, heads: 1);
        scores.Dispose();

        Assert.Throws<ObjectDisposedException>(() => new GlobalSettings().Plan(scores));
    }

    [Fact]
    public void Plan_BudgetInBytes_StaysWithinThem()
    {
        using AttentionScores scores = Learned(TestScores.Random(4, 160), layers: 2, heads: 2);
        var cost = new RowCost(BytesPerRow: 100, ReservedPerHead: 3);

        // 4 heads reserve 12 rows of 100 bytes; 4800 more are 48 rows.
        Assert.Equal(48, new GlobalSettings { Budget = Budget.FromBytes(6_050) }.Plan(scores, cost).TotalRows);
        Assert.Equal(48, new GlobalSettings { Budget = Budget.FromBytes(6_050), Threshold = -5 }.Plan(scores, cost).TotalRows);
        Assert.Throws<PlanException>(() => new GlobalSettings { Budget = Budget.FromBytes(6_050) }.Plan(scores));
    }

    [Fact]
    public void Request_Sources_AskForWhatThePlanReads()
    {
        Assert.Equal(new ScoreRequest(new Learned()), new GlobalSettings().Request);
        Assert.False(new GlobalSettings().Request.NeedsAttention);
        Assert.Equal(new ScoreRequest(new TaskAttention(TaskSet.Repeat, AttentionAggregate.Max)), new GlobalSettings { Source = RowScore.Repeat }.Request);
        Assert.Equal(
            new ScoreRequest(new TaskAttention(TaskSet.Window(8), AttentionAggregate.Max), new Learned()),
            new GlobalSettings { Source = RowScore.Both, TaskSet = TaskSet.Window(8) }.Request);
    }

    [Theory]
    [InlineData(nameof(RowScore.Learned), "learned")]
    [InlineData(nameof(RowScore.Repeat), "repeat")]
    [InlineData(nameof(RowScore.Both), "both")]
    [InlineData(nameof(RowScore.Probed), "probed")]
    public void Name_AnySource_IsThePolicysAndTheRequestNamesTheScores(string source, string scores)
    {
        GlobalRanking policy = new GlobalSettings { Source = Enum.Parse<RowScore>(source), Correction = new ProbeCorrection(HeadLayout.Uniform(1, 1), new float[3]) }.ToPolicy();

        Assert.Equal("global", policy.Name);
        Assert.Equal(scores, policy.Request.Name);
    }

    [Fact]
    public void Options_OutOfRange_AreRefused()
    {
        using AttentionScores scores = Learned([1, 2], layers: 1, heads: 1);

        Assert.Throws<ArgumentOutOfRangeException>(() => new GlobalRanking(new LearnedScorer()) { Ratio = 1 });
        Assert.Throws<ArgumentNullException>(() => new GlobalRanking(null!));
        Assert.Throws<ArgumentNullException>(() => new GlobalRanking(new LearnedScorer()) { Ratio = null });
        Assert.Throws<ArgumentNullException>(() => new GlobalSettings { TaskSet = null! });
        Assert.Throws<ArgumentOutOfRangeException>(() => new GlobalSettings { Protected = -1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new GlobalSettings { Recent = -1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new GlobalSettings { Threshold = double.NaN });
        Assert.Throws<ArgumentOutOfRangeException>(() => new GlobalSettings { Threshold = double.NegativeInfinity });
        Assert.Throws<ArgumentException>(() => new GlobalSettings { Source = (RowScore)7 }.Request);
        Assert.Throws<ArgumentException>(() => new GlobalSettings { Source = (RowScore)7 }.Plan(scores));
    }

    [Fact]
    public void Equality_SameOptions_AreEqual()
    {
        Assert.Equal(
            new GlobalSettings { Budget = Budget.FromRatio(0.9), TaskSet = TaskSet.Question("Who?") },
            new GlobalSettings { Budget = Budget.FromRatio(0.9), TaskSet = TaskSet.Question("Who?") });
        Assert.NotEqual(new GlobalSettings { Recent = 1 }, new GlobalSettings());
        Assert.Null((new GlobalSettings { Threshold = -5 } with { Threshold = null }).Threshold);
    }

    private static AttentionScores Learned(float[] values, int layers, int heads) =>
        TestScores.Of(layers, heads, heads, values.Length / layers / heads, queries: 0, learned: TestScores.Buffer(values));
}
