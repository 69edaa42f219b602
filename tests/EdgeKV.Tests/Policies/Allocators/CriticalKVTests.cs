using EdgeKV.Numerics;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Allocators;

public class CriticalKVTests
{
    private static readonly Statistic Norms = new OutputNorms(NormKind.L1);

    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 200)];

    // Keys whose lengths are the scores, turned round, of 1 KV head with 2 attention heads.
    private static AttentionScores Handmade() => StatisticScores.Of(
        1, 2, 1, 6, (new KeyNorms(), [1, 2, 3, 4, 5, 6]), (Norms, [1, 9, 2, 4, 9, 0, 1, 9, 2, 0, 9, 0]));

    [Fact]
    public void Plan_HandmadeScores_ChoosesTheSecondHalfByNorms()
    {
        using AttentionScores scores = Handmade();

        // First stage: 0 and 1. Second: -3 * 2, -4 * 2, -5 * 9, -6 * 0 for 2 to 5.
        CompressionPlan plan = new CriticalKV { Scorer = new Knorm(), Budget = Budget.FromRows(4) }.Plan(scores);

        Assert.Equal([0, 1, 2, 5], plan.Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_UnseenRows_AreToldApartByTheirNorms()
    {
        using AttentionScores scores = StatisticScores.Of(
            1, 1, 1, 5, (new WindowAttention(1), [0, 0, 0, 0, 0]), (Norms, [1, 3, 2, 4, 0]));
        var policy = new CriticalKV { Scorer = new SnapKV { Window = 1 }, FirstStage = 0, Budget = Budget.FromRows(3) };

        // The window stays, whatever its norm.
        Assert.Equal([1, 3, 4], policy.Plan(scores).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_ScoresThatAreLogarithms_AreTakenAsAttention()
    {
        // e^s * norm: 0.37 * 1, 0.14 * 4, 0.05 * 1; as they stand, -1 * 1, -2 * 4 and -3 * 1 would keep the first.
        using AttentionScores scores = StatisticScores.Of(1, 1, 1, 3, (new Learned(), [-1, -2, -3]), (Norms, [1, 4, 1]));
        var policy = new CriticalKV { Scorer = new LearnedScorer { Sinks = 0, Recent = 0 }, FirstStage = 0, Budget = Budget.FromRows(1) };

        Assert.Equal([1], policy.Plan(scores).Positions(0, 0).ToArray());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Plan_NotANumber_NamesIt(bool ragged)
    {
        using AttentionScores scores = StatisticScores.Of(
            2, 1, 1, 3, (new KeyNorms(), new float[6]), (Norms, [1, 1, 1, 1, float.NaN, 1]));
        ICompressionPolicy policy = ragged ? new CriticalAdaKV { Scorer = new Knorm() } : new CriticalKV { Scorer = new Knorm() };

        Assert.Contains(
            "Layer 1, KV head 0 has output norms(L1)", Assert.Throws<PlanException>(() => policy.Plan(scores)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Plan_RandomScores_EqualsTheDefinition(int seed)
    {
        var random = new Random(seed);
        var snap = new SnapKV { Window = random.Next(1, 4) };
        IRowScorer scorer = random.Next(2) == 0 ? new Knorm() : snap;
        bool ragged = random.Next(2) == 0;
        double ratio = random.NextDouble();
        double stage = random.Next(2) == 0 ? 0.5 : random.NextDouble();
        RowPolicy policy = ragged
            ? new CriticalAdaKV { Scorer = scorer, Ratio = ratio, FirstStage = stage, Composed = random.Next(2) == 0 }
            : new CriticalKV { Scorer = scorer, Ratio = ratio, FirstStage = stage };
        using AttentionScores scores = RandomScores.For(policy.Request, random, random.Next(snap.Window + 1, 90));
        int kept = (int)CompressionRatio.Keep(scores.Tokens, ratio);

        CompressionPlan plan = StatisticScores.AssertSound(policy, scores);

        int[] counts = ragged
            ? new AdaKV { Scorer = scorer, Ratio = ratio, Composed = ((CriticalAdaKV)policy).Composed }.Plan(scores).Counts.ToArray()
            : [.. Enumerable.Repeat(kept, scores.KvHeads.Total)];
        for (int list = 0; list < counts.Length; list++)
        {
            Assert.Equal(
                KeptByDefinition(scorer, scores, list, kept, counts[list], stage),
                plan.Positions(scores.KvHeads.At(list).Layer, scores.KvHeads.At(list).Head).ToArray());
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Plan_PermutedHeads_PermutesThePlan(bool ragged) => TestScores.AssertPermutes(
        ragged ? new CriticalAdaKV { Scorer = new Knorm(), Ratio = 0.7 } : new CriticalKV { Scorer = new Knorm(), Ratio = 0.7 },
        (layers, heads, tokens, values) => StatisticScores.Of(
            layers, heads, heads, tokens, (new KeyNorms(), values), (Norms, [.. values.Select(value => value + 1)])));

    // Both stages by sorting.
    private static IEnumerable<int> KeptByDefinition(IRowScorer scorer, AttentionScores scores, int list, int rows, int count, double stage)
    {
        (int layer, int head) = scores.KvHeads.At(list);
        float[] all = new float[scores.KvHeads[layer] * scores.Tokens];
        scorer.Score(scores, layer, all);
        float[] score = all[(head * scores.Tokens)..((head + 1) * scores.Tokens)];
        float[] norms = new float[scores.Tokens];
        scores.CopyGroupMean(Norms, layer, head, norms);
        int recent = scores.Tokens - scorer.Protect(scores.Tokens, rows).Last;

        List<int> order = [.. Enumerable.Range(0, scores.Tokens).OrderBy(token => token < recent).ThenByDescending(token => token < recent ? score[token] : token).ThenBy(token => token)];
        int[] first = [.. order.Take((int)(count * stage))];
        IEnumerable<int> second = order.Skip(first.Length)
            .OrderBy(token => token < recent)
            .ThenByDescending(token => token < recent ? (score[token] + 1e-4f) * norms[token] : token)
            .ThenBy(token => token);
        return first.Concat(second).Take(count).Order();
    }
}
