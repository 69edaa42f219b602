using EdgeKV.Policies;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Scorers;

/// <summary>Scorers of attention, and sums and weights of any scorers, by hand-computed cases.</summary>
public class AttentionScorerTests
{
    [Fact]
    public void Score_Learned_IsThePrediction()
    {
        using AttentionScores scores = Scores();

        Assert.Equal([-1, -2, -3, -4], Score(new LearnedScorer(), scores));
        Assert.Equal(new ProtectedRows(4, 4), new LearnedScorer().Protect(100, 10));
        Assert.True(new LearnedScorer().AreLogarithms);
    }

    [Fact]
    public void Score_Task_IsTheMeanOverTheGroup()
    {
        using AttentionScores scores = Scores();

        Assert.Equal([0.5f, 0.25f, 0.75f, 0], Score(new TaskScorer(), scores));
        Assert.Equal(default, new TaskScorer().Protect(100, 10));
        Assert.Equal("window", new TaskScorer { TaskSet = TaskSet.Window(8) }.Name);
        Assert.Equal(new ScoreRequest(new TaskAttention(TaskSet.Window(8), AttentionAggregate.Max)), new TaskScorer { TaskSet = TaskSet.Window(8) }.Request);
    }

    [Fact]
    public void Score_Sum_AddsLogarithms()
    {
        using AttentionScores scores = Scores();
        SumScorer sum = new(new TaskScorer(), new LearnedScorer(), new LearnedScorer());

        float[] expected = [MathF.Log(0.5f) - 2, MathF.Log(0.25f) - 4, MathF.Log(0.75f) - 6, MathF.Log(1e-7f) - 8];

        Assert.All(expected.Zip(Score(sum, scores)), pair => Assert.Equal(pair.First, pair.Second, 1e-5f));
        Assert.Equal("repeat+learned+learned", sum.Name);
        Assert.Equal(new ScoreRequest(new TaskAttention(TaskSet.Repeat, AttentionAggregate.Max), new Learned()), sum.Request);
        Assert.Equal(Score(new LearnedScorer(), scores), Score(new SumScorer(new LearnedScorer()), scores));
        Assert.Throws<ArgumentException>(() => new SumScorer());
    }

    [Fact]
    public void Score_Weighted_MultipliesAttentionAndAddsToLogarithms()
    {
        using AttentionScores scores = Scores();

        Assert.Equal([1, 1, 1.5f, 0], Score(new WeightedScorer(new TaskScorer(), new ValueNorms()), scores));
        Assert.Equal([1.5f, 0.25f, 1.5f, 0], Score(new WeightedScorer(new TaskScorer(), new OutputNorms(NormKind.L2)), scores));
        float[] logarithms = Score(new WeightedScorer(new LearnedScorer(), new ValueNorms()), scores);
        Assert.Equal(-1 + MathF.Log(2), logarithms[0], 1e-5f);
        Assert.Equal(-4 + MathF.Log(8), logarithms[3], 1e-5f);
    }

    [Fact]
    public void Score_WeightedOfAnotherScorer_KeepsWhatThatProtects()
    {
        WeightedScorer weighted = new(new LearnedScorer { Sinks = 1, Recent = 2 }, new ValueNorms());

        Assert.Equal(new ProtectedRows(1, 2), weighted.Protect(100, 10));
        Assert.True(weighted.AreLogarithms);
        Assert.False(new WeightedScorer(new TaskScorer(), new ValueNorms()).AreLogarithms);
        Assert.Equal("weighted learned", weighted.Name);
    }

    [Fact]
    public void Equals_SumsOfEqualScorers_AreEqual()
    {
        Assert.Equal(new SumScorer(new TaskScorer(), new LearnedScorer()), new SumScorer(new TaskScorer(), new LearnedScorer()));
        Assert.NotEqual(new SumScorer(new TaskScorer(), new LearnedScorer()), new SumScorer(new LearnedScorer(), new TaskScorer()));
        Assert.NotEqual(new SumScorer(new TaskScorer()) { Recent = 1 }, new SumScorer(new TaskScorer()));
    }

    // One layer, one KV head of two attention heads, four tokens.
    private static AttentionScores Scores() => StatisticScores.Of(
        1,
        2,
        1,
        4,
        (new Learned(), [-1, -2, -3, -4]),
        (new TaskAttention(TaskSet.Repeat, AttentionAggregate.Max), [1, 0, 1, 0, 0, 0.5f, 0.5f, 0]),
        (new ValueNorms(), [2, 4, 2, 8]),
        (new OutputNorms(NormKind.L2), [1, 1, 2, 3, 5, 1, 2, 3]));

    private static float[] Score(IRowScorer scorer, AttentionScores scores)
    {
        float[] written = [float.NaN, float.NaN, float.NaN, float.NaN];
        scorer.Score(scores, 0, written);
        return written;
    }
}
