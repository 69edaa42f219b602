using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Configuration;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Scorers;

public class ProbedScorerTests
{
    private static readonly GlobalSettings Bare = new() { Protected = 0, Recent = 0 };

    [Fact]
    public void Plan_Probed_RanksTheCorrectedPrediction()
    {
        // Seen: e^0, e^-1, e^-2, 0. Predicted: -4, -2, -2.5, 1. Half of both and 1: -1, -0.5, -1.25 and 1.5 + ln(1e-7) / 2 = -6.6.
        float[] seen = [1, MathF.Exp(-1), MathF.Exp(-2), 0];
        using AttentionScores scores = TestScores.Of(
            1, 1, 1, 4, 1, TestScores.Buffer(seen), learned: TestScores.Buffer([-4, -2, -2.5f, 1]), taskSet: TaskSet.Probe);
        GlobalSettings probed = Bare with { Source = RowScore.Probed, Correction = new ProbeCorrection(HeadLayout.Uniform(1, 1), new[] { 0.5f, 0.5f, 1 }) };

        Assert.Equal([1], (probed with { Budget = Budget.FromRatio(0.75) }).Plan(scores).Positions(0, 0).ToArray());
        Assert.Equal([0, 1], (probed with { Budget = Budget.FromRatio(0.5) }).Plan(scores).Positions(0, 0).ToArray());
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

        CompressionPlan plan = (Bare with { Source = RowScore.Probed, Budget = Budget.FromRatio(0.625), Correction = new ProbeCorrection(HeadLayout.Uniform(2, 2), numbers) }).Plan(scores);

        // 6, 5 and -3 + 9 of eight rows.
        Assert.Equal([0, 0, 2, 1], plan.Counts.ToArray());
        Assert.Equal([0], plan.Positions(1, 1).ToArray());
    }

    [Fact]
    public void Plan_ProbedWithoutItsCorrection_NamesWhatMakesIt()
    {
        using AttentionScores scores = TestScores.Of(
            1, 1, 1, 2, 1, TestScores.Buffer(new float[2]), learned: TestScores.Buffer([1, 2]), taskSet: TaskSet.Probe);
        var probed = new GlobalSettings { Source = RowScore.Probed };

        Assert.Contains("edgekv calibrate MODEL --for global", Assert.Throws<ArgumentException>(() => probed.Plan(scores)).Message, StringComparison.Ordinal);

        PlanException foreign = Assert.Throws<PlanException>(() => (probed with { Correction = new ProbeCorrection(HeadLayout.Uniform(1, 2), new float[6]) }).Plan(scores));
        Assert.Contains("1 layers x 2 KV heads, but the scores are of 1 layers x 1", foreign.Message, StringComparison.Ordinal);

        // As a scorer below a wrapper too, where the layers are scored apart.
        foreign = Assert.Throws<PlanException>(() => new AdaKV { Scorer = (probed with { Correction = new ProbeCorrection(HeadLayout.Uniform(2, 1), new float[6]) }).ToScorer() }.Plan(scores));
        Assert.Contains("2 layers x 1 KV heads", foreign.Message, StringComparison.Ordinal);

        GlobalSettings two = probed with { Correction = new ProbeCorrection(HeadLayout.Uniform(1, 1), new float[3]), TaskSet = TaskSet.Context };
        Assert.Contains("leave out the task set context", Assert.Throws<ArgumentException>(() => two.Request).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Correction_WrongNumbers_AreRefused()
    {
        Assert.Throws<ArgumentException>(() => new ProbeCorrection(HeadLayout.Uniform(1, 2), new float[5]));
        Assert.Throws<ArgumentException>(() => new ProbeCorrection(HeadLayout.Uniform(1, 1), new[] { 1, float.NaN, 0 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => new ProbeCorrection(HeadLayout.Uniform(0, 1), default));
        Assert.Equal(new ProbeCorrection(HeadLayout.Uniform(1, 1), new float[] { 1, 2, 3 }), new ProbeCorrection(HeadLayout.Uniform(1, 1), new float[] { 1, 2, 3 }));
        Assert.NotEqual(new ProbeCorrection(HeadLayout.Uniform(1, 1), new float[] { 1, 2, 3 }), new ProbeCorrection(HeadLayout.Uniform(1, 1), new float[] { 1, 2, 4 }));
    }
}
