using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Configuration;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Scorers;

public class CompactorTests
{
    [Fact]
    public void Score_ThreeRows_AddsWhatStandsOutToWhatIsAttendedTo()
    {
        // Attention 2, 0, 1 (means of two heads) times values 3, 1, 3 is 6, 0, 3; over three neighbours 2, 3, 1: deviation 1 from 2.
        // Leverage 0.1, 0.2, 0.6: deviation sqrt(0.14 / 2) from 0.3. First and last row are no part of it.
        using AttentionScores scores = Of([9, 1, 0, 2, 9, 9, 3, 0, 0, 9], [9, 3, 1, 3, 9], [9, 0.1f, 0.2f, 0.6f, 9]);
        var policy = new Compactor { Sinks = 1, Recent = 1, Blend = 0.5 };

        float[] own = ScorerAssert.Scores(policy, scores);

        double deviation = Math.Sqrt(0.07);
        Assert.Equal([0, -0.1 / deviation, 1 - 0.05 / deviation, -1 + 0.15 / deviation, 0], own.Select(x => (double)x), (x, y) => Math.Abs(x - y) < 1e-6);
        Assert.Equal([0, 2, 4], (policy with { Ratio = 0.4 }).Plan(scores).Positions(0, 0).ToArray());
        Assert.Equal([0, 3, 4], (policy with { Ratio = 0.4, Blend = 2 }).Plan(scores).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_EqualRows_KeepsEarlierPosition()
    {
        using AttentionScores scores = Of([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]);

        Assert.Equal([0, 1, 4], new Compactor { Sinks = 1, Recent = 1, Ratio = 0.4 }.Plan(scores).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_NoBlend_TakesTheShareThatGoes()
    {
        var policy = new Compactor { Sinks = 1, Recent = 1 };
        using AttentionScores scores = Random(policy.Request, seed: 1, tokens: 200);
        CompressionPlan expected = (policy with { Ratio = 0.4, Blend = 0.4 }).Plan(scores);

        Assert.Equal(expected, (policy with { Ratio = 0.4 }).Plan(scores));
        Assert.Equal(expected, (policy with { Budget = Budget.FromRows(120) }).Plan(scores));
        Assert.NotEqual(expected, (policy with { Ratio = 0.4, Blend = 0.8 }).Plan(scores));
        Assert.Equal(
            ScorerAssert.Scores(policy with { Blend = 0.4 }, scores), ScorerAssert.Scores(policy with { Budget = Budget.FromRows(120) }, scores));
    }

    [Fact]
    public void Plan_UnderWrappers_TakesTheShareThatTheyRemove()
    {
        var scorer = new Compactor { Sinks = 1, Recent = 1 };
        Compactor fixedBlend = scorer with { Blend = 0.4 };
        ScorerWrapper[] wrappers =
        [
            new AdaKV { Scorer = scorer }, new ChunkKV { Scorer = scorer, Length = 3 }, new CriticalKV { Scorer = scorer }, new CriticalAdaKV { Scorer = scorer },
            new GlobalRanking(scorer), new GlobalRanking(scorer) { Limit = -0.2 },
            new LayerBudgets { Scorer = scorer, Counts = new Knorm() },
        ];

        Assert.All(wrappers, wrapper =>
        {
            ICompressionPolicy ratio = wrapper.WithBudget(Budget.FromRatio(0.4));
            using AttentionScores scores = Random(ratio.Request, seed: 2, tokens: 200);

            CompressionPlan plan = ratio.Plan(scores);

            Assert.Equal(((ScorerWrapper)ratio with { Scorer = fixedBlend }).Plan(scores), plan);
            Assert.NotEqual(((ScorerWrapper)ratio with { Scorer = scorer with { Blend = 0.8 } }).Plan(scores), plan);
        });
    }

    [Theory]
    [InlineData(8, 4)]
    [InlineData(20, 0)]
    [InlineData(0, 20)]
    public void Plan_NothingBesideTheProtected_KeepsTheseAlone(int sinks, int recent)
    {
        var policy = new Compactor { Sinks = sinks, Recent = recent, Ratio = 0.5 };
        using AttentionScores scores = Random(policy.Request, seed: 3, tokens: 12);

        int[] kept = policy.Plan(scores).Positions(0, 0).ToArray();

        Assert.Equal(recent == 20 ? [6, 7, 8, 9, 10, 11] : [0, 1, 2, 3, 4, 5], kept);
        Assert.All(ScorerAssert.Scores(policy, scores), score => Assert.Equal(0, score));
    }

    [Fact]
    public void Plan_OneRowBesideTheProtected_ScoresIt()
    {
        var policy = new Compactor { Sinks = 2, Recent = 1, Ratio = 0 };
        using AttentionScores scores = StatisticScores.Of(
            1, 1, 1, 4, (new BlockAttention(256, 2, 1), [0, 0, 1, 0]), (new ValueNorms(), [1, 1, 1, 1]), (new KeyLeverage(48, 0, 2, 1), [0, 0, 1, 0]));

        Assert.Equal(CompressionPlan.KeepAll(1, 1, 4), policy.Plan(scores));
        Assert.All(ScorerAssert.Scores(policy, scores), score => Assert.Equal(0, score));
    }

    [Fact]
    public void Plan_NumberThatIsNone_NamesIt()
    {
        using AttentionScores scores = Of([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, float.NaN, 1, 1]);

        PlanException error = Assert.Throws<PlanException>(() => new Compactor { Sinks = 1, Recent = 1 }.Plan(scores));

        Assert.Equal("Layer 0, KV head 0, token 2 has key leverage(48) NaN: not a finite number.", error.Message);
    }

    [Fact]
    public void Score_RandomNumbers_EqualsTheDefinition()
    {
        for (int seed = 0; seed < 30; seed++)
        {
            var policy = new Compactor { Sinks = seed % 9, Recent = seed % 5, Blend = seed / 10.0 };
            using AttentionScores scores = Random(policy.Request, seed, tokens: 16 + 7 * seed, group: 1 + seed % 3);
            ScorerAssert.EqualDefinition(policy, scores, (layer, head) => ByDefinition(policy, scores, layer, head), tolerance: 2e-5);
        }
    }

    [Fact]
    public void Options_OutOfRange_Throw()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new Compactor { Sinks = -1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new Compactor { Recent = -1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new Compactor { Block = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new Compactor { Sketch = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new Compactor { Sketch = 1025 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new Compactor { Blend = -0.1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new Compactor { Blend = double.NaN });
    }

    [Fact]
    public void Options_ByName_AreThoseOfTheRecord()
    {
        ICompressionPolicy policy = PolicyOptions.Parse("compactor:ratio=0.5,sinks=1,recent=2,block=64,sketch=16,seed=7,blend=0.35").Create();

        Assert.Equal(new Compactor { Ratio = 0.5, Sinks = 1, Recent = 2, Block = 64, Sketch = 16, Seed = 7, Blend = 0.35 }, policy);
        Assert.Equal(
            new ScoreRequest(new BlockAttention(64, 1, 2), new ValueNorms(), new KeyLeverage(16, 7, 1, 2)), policy.Request);
    }

    // Five tokens, two attention heads on one KV head; for one first and one last position.
    private static AttentionScores Of(float[] attention, float[] valueNorms, float[] leverage) => StatisticScores.Of(
        1, 2, 1, 5, (new BlockAttention(256, 1, 1), attention), (new ValueNorms(), valueNorms), (new KeyLeverage(48, 0, 1, 1), leverage));

    private static AttentionScores Random(ScoreRequest request, int seed, int tokens, int group = 2) => StatisticScores.Of(
        2,
        3 * group,
        3,
        tokens,
        [.. request.Statistics.Select((statistic, i) => (
            statistic, TestScores.Random(10 * seed + i, 2 * 3 * (statistic.IsPerAttentionHead ? group : 1) * tokens)))]);

    // Lists of the numbers that count, and the formulas; no span, no pass shared.
    private static double[] ByDefinition(Compactor policy, AttentionScores scores, int layer, int kvHead)
    {
        int[] counted = [.. Enumerable.Range(0, scores.Tokens).Skip(policy.Sinks).SkipLast(policy.Recent)];
        double[][] attention = [.. Enumerable.Range(0, scores.KvHeads[layer]).Select(Pooled)];
        double[][] leverage =
        [
            .. Enumerable.Range(0, scores.KvHeads[layer]).Select(head => counted.Select(
                j => (double)scores.Values(new KeyLeverage(policy.Sketch, policy.Seed, policy.Sinks, policy.Recent), layer, head)[j]).ToArray()),
        ];
        double[] written = new double[scores.Tokens];
        for (int i = 0; i < counted.Length; i++)
        {
            written[counted[i]] = policy.Blend.GetValueOrDefault() * Standard(leverage, i) + Standard(attention, i);
        }

        return written;

        double[] Pooled(int head)
        {
            double[] weighed = [.. counted.Select(j => scores.ValueNorms(layer, head)[j] * Enumerable.Range(head * scores.GroupSize(layer), scores.GroupSize(layer))
                .Average(a => (double)scores.Values(new BlockAttention(policy.Block, policy.Sinks, policy.Recent), layer, a)[j]))];
            return [.. weighed.Select((own, i) => (weighed.ElementAtOrDefault(i - 1) + own + weighed.ElementAtOrDefault(i + 1)) / 3)];
        }

        double Standard(double[][] heads, int i)
        {
            double[] all = [.. heads.SelectMany(head => head)];
            double mean = all.Average();
            double deviation = Math.Sqrt(all.Sum(x => (x - mean) * (x - mean)) / (all.Length - 1));
            return (heads[kvHead][i] - mean) / deviation;
        }
    }
}
