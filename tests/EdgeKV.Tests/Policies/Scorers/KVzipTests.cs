using System.Globalization;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Scorers;

/// <summary>KVzip by a hand-computed case, by its definition, and against the reference's plans.</summary>
public class KVzipTests
{
    // Two layers, two KV heads of two attention heads each, six tokens, of which two are the prefix.
    private static readonly float[] Maxima =
    [
        .9f, .9f, .1f, .2f, .3f, .4f, .9f, .9f, .5f, .1f, .1f, .1f,
        0, 0, .05f, .6f, .05f, .05f, 0, 0, .1f, .1f, .7f, .1f,
        0, 0, .02f, .03f, .04f, .01f, 0, 0, .01f, .01f, .01f, .9f,
        0, 0, .8f, .25f, .15f, .35f, 0, 0, 0, 0, 0, 0,
    ];

    public static MatrixTheoryData<string, double> BesideTheCheckout { get; } = new(["niah_single_2_0", "niah_multikey_1_1"], [0.5, 0.8]);

    [Fact]
    public void Score_Prefix_ScoresOneThenNothing()
    {
        using AttentionScores scores = Scores(Maxima, 2, 4, 2, 6, prefix: 2);

        Assert.Equal([1, 0, .5f, .2f, .3f, .4f, 1, 0, .1f, .6f, .7f, .1f], Scored(new KVzip { Sinks = 1 }, scores));
        Assert.Equal([1, 1, .5f, .2f, .3f, .4f, 1, 1, .1f, .6f, .7f, .1f], Scored(new KVzip(), scores));
        Assert.Equal([0, 0, .5f, .2f, .3f, .4f, 0, 0, .1f, .6f, .7f, .1f], Scored(new KVzip { Sinks = 0 }, scores));

        // Without a prefix every token was repeated, the first ones too.
        using AttentionScores plain = Scores(Maxima, 2, 4, 2, 6, prefix: 0);
        Assert.Equal([.9f, .9f, .5f, .2f, .3f, .4f, 0, 0, .1f, .6f, .7f, .1f], Scored(new KVzip(), plain));
    }

    [Fact]
    public void Plan_HalfOfTheRows_RanksTheWholeModel()
    {
        using AttentionScores scores = Scores(Maxima, 2, 4, 2, 6, prefix: 2);

        CompressionPlan plan = new KVzip { Sinks = 1, Ratio = 0.5 }.Plan(scores);

        // 12 rows: four sinks, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.35 and 0.3.
        Assert.Equal([0, 2, 4, 5], plan.Positions(0, 0).ToArray());
        Assert.Equal([0, 3, 4], plan.Positions(0, 1).ToArray());
        Assert.Equal([0, 5], plan.Positions(1, 0).ToArray());
        Assert.Equal([0, 2, 5], plan.Positions(1, 1).ToArray());
    }

    [Fact]
    public void Plan_RatioThatDivides_TruncatesWhatGoes()
    {
        using AttentionScores scores = Scores(Maxima, 2, 4, 2, 6, prefix: 2);

        // (int)(24 * 0.8) = 19 go and 5 stay, where keep(24) is 4; of 12 rows of a layer 9 go and 3 stay.
        Assert.Equal([1, 1, 2, 1], new KVzip { Sinks = 1, Ratio = 0.8 }.Plan(scores).Counts.ToArray());
        Assert.Equal([1, 2, 2, 1], new KVzip { Sinks = 1, Ratio = 0.8, Layerwise = true }.Plan(scores).Counts.ToArray());
        Assert.Equal(4, new KVzip { Sinks = 1, Budget = Budget.FromRows(1) }.Plan(scores).TotalRows);
    }

    [Fact]
    public void Plan_Layerwise_DropsEquallyManyRowsOfEachLayer()
    {
        using AttentionScores scores = Scores(Maxima, 2, 4, 2, 6, prefix: 2);

        CompressionPlan plan = new KVzip { Sinks = 1, Ratio = 0.5, Layerwise = true }.Plan(scores);

        Assert.Equal([0, 2, 5], plan.Positions(0, 0).ToArray());
        Assert.Equal([0, 3, 4], plan.Positions(0, 1).ToArray());
        Assert.Equal([0, 5], plan.Positions(1, 0).ToArray());
        Assert.Equal([0, 2, 3, 5], plan.Positions(1, 1).ToArray());
    }

    [Fact]
    public void Plan_TiedScores_KeepsLowerLayerHeadAndPosition()
    {
        using AttentionScores scores = Scores(new float[2 * 2 * 4], 2, 2, 2, 4, prefix: 0);

        CompressionPlan plan = new KVzip { Ratio = 0.6 }.Plan(scores);

        // (int)(16 * 0.6) = 9 go.
        Assert.Equal([4, 3, 0, 0], plan.Counts.ToArray());
        Assert.Equal([0, 1, 2], plan.Positions(0, 1).ToArray());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Plan_RandomContexts_IsTheDefinition(bool layerwise)
    {
        for (int seed = 0; seed < 60; seed++)
        {
            var random = new Random(seed);
            (int layers, int kvHeads, int group, int tokens) = (random.Next(1, 5), random.Next(1, 4), random.Next(1, 4), random.Next(2, 60));
            int length = layers * kvHeads * group * tokens;
            float[] values = seed % 2 == 0 ? TestScores.Random(seed, length) : TestScores.Tied(seed, length, 8);
            using AttentionScores scores = Scores(values, layers, kvHeads * group, kvHeads, tokens, prefix: random.Next(0, tokens + 1));
            KVzip policy = new() { Sinks = random.Next(0, 8), Ratio = random.NextDouble(), Layerwise = layerwise };

            Assert.Equal(ByDefinition(policy, scores), policy.Plan(scores));
        }
    }

    [Theory]
    [InlineData(0.5)]
    [InlineData(0.8)]
    public void Plan_BundledPressScores_GivesTheGoldenPlan(double ratio) => AssertGolden(PressScores.Bundled, ratio);

    [Theory]
    [MemberData(nameof(BesideTheCheckout))]
    public void Plan_PressScoresBesideTheCheckout_GivesTheGoldenPlan(string prompt, double ratio) =>
        AssertGolden(PressScores.BesideTheCheckout(prompt), ratio);

    [Fact]
    public void Options_Request_AsksForChunksOfThatLength()
    {
        Assert.Equal(new ScoreRequest(new ReconstructionAttention(2048)), new KVzip().Request);
        Assert.Equal(new ScoreRequest(new ReconstructionAttention(512)), new KVzip { Chunk = 512 }.Request);
        Assert.Throws<ArgumentOutOfRangeException>(() => new KVzip { Chunk = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new KVzip { Sinks = -1 });
    }

    // The goldens' prefix has no row that scores 1: the reference that made them had none, a later one has four.
    private static void AssertGolden(PressScores golden, double ratio)
    {
        float[] values = golden.Values("kvzip");
        int prefix = Array.FindIndex(values, value => value != 0);
        using AttentionScores scores = Scores(values, golden.Layers, golden.KvHeads, golden.KvHeads, golden.Tokens, prefix);
        string at = ratio.ToString(CultureInfo.InvariantCulture);

        CompressionPlan plan = new KVzip { Sinks = 0, Ratio = ratio }.Plan(scores);

        Assert.Equal(
            golden.Press("kvzip", $"rows@{at}").EnumerateArray().SelectMany(heads => heads.EnumerateArray().Select(rows => rows.GetInt32())),
            plan.Counts.ToArray());
        Assert.Equal(golden.Press("kvzip", $"kept_sha256@{at}").GetString(), GoldenScores.Sha256(plan));
    }

    private static CompressionPlan ByDefinition(KVzip policy, AttentionScores scores)
    {
        var rows =
            from layer in Enumerable.Range(0, scores.Layers)
            from head in Enumerable.Range(0, scores.KvHeads[layer])
            from token in Enumerable.Range(0, scores.Tokens)
            let seen = Enumerable.Range(head * scores.GroupSize(layer), scores.GroupSize(layer)).Max(member => scores.Values(new ReconstructionAttention(), layer, member)[token])
            let score = token >= scores.PrefixTokens ? seen : token < policy.Sinks ? 1 : 0
            orderby score descending, layer, head, token
            select (Layer: layer, List: scores.KvHeads.First(layer) + head, Token: token);
        var kept = rows.GroupBy(row => policy.Layerwise ? row.Layer : 0).SelectMany(part => part.SkipLast((int)(part.Count() * policy.Ratio!.Value))).ToArray();
        int[] counts = [.. Enumerable.Range(0, scores.KvHeads.Total).Select(list => kept.Count(row => row.List == list))];
        int[] positions = [.. kept.OrderBy(row => row.List).ThenBy(row => row.Token).Select(row => row.Token)];
        return new CompressionPlan(scores.KvHeads, scores.Tokens, counts, positions);
    }

    private static float[] Scored(KVzip policy, AttentionScores scores)
    {
        float[] written = new float[scores.KvHeads[0] * scores.Tokens];
        policy.Score(scores, 0, written);
        return written;
    }

    private static AttentionScores Scores(float[] values, int layers, int heads, int kvHeads, int tokens, int prefix) =>
        new(CacheGeometry.Uniform(layers, heads, kvHeads, 1, 1), tokens, [new(new ReconstructionAttention(), new StatisticValues(TestScores.Buffer(values), 9))])
        {
            PrefixTokens = prefix,
        };
}
