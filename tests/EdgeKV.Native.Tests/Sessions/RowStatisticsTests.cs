using System.Numerics.Tensors;
using EdgeKV.Compression;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.Native.Tests;

/// <summary>Cached rows as a session reads them, and the statistics that it makes of them.</summary>
public sealed class RowStatisticsTests(ModelFixture fixture)
{
    private static readonly int[] Layers = [0, 17, 29];

    [Fact]
    public async Task CachedRows_Read_HaveTheNormsThatTheEngineGives()
    {
        using EdgeSession session = await fixture.Reader();
        using AttentionScores scores = await session.ScoreAsync(new ScoreRequest(new KeyNorms(), new ValueNorms()));

        ICacheRows cached = session.CachedRows;
        Assert.Equal(64, cached.HeadSize(RowKind.Keys, 0));
        Assert.Equal(64, cached.HeadSize(RowKind.Values, 0));
        foreach (int layer in Layers)
        {
            using var keys = new LayerRows(session.CachedRows, RowKind.Keys, layer);
            using var values = new LayerRows(session.CachedRows, RowKind.Values, layer);
            for (int head = 0; head < scores.KvHeads[layer]; head++)
            {
                for (int token = 0; token < scores.Tokens; token++)
                {
                    Assert.Equal(scores.KeyNorms(layer, head)[token], TensorPrimitives.Norm(keys.Row(head, token)), Near);
                    Assert.Equal(scores.ValueNorms(layer, head)[token], TensorPrimitives.Norm(values.Row(head, token)), Near);
                }
            }
        }
    }

    [Fact]
    public async Task ScoreAsync_LikenessProductsAndRanks_AreThoseOfTheRows()
    {
        using EdgeSession session = await fixture.Reader();
        float[] numbers = [.. Enumerable.Range(0, session.Model.Geometry.KvHeads.Total * 64).Select(i => MathF.Sin(i))];
        KeyProducts products = new(new QueryDirections(session.Model.Geometry.KvHeads, numbers));
        BlockRank ranks = new(first: 3, block: 9);

        using AttentionScores scores = await session.ScoreAsync(new ScoreRequest(new KeyLikeness(), products, ranks));

        Assert.Equal(0, scores.PassTokens);
        Assert.Equal(3, scores.Statistics.Count);
        BlockRankScores expected = new(session.CachedRows, ranks);
        float[] ranksOfLayer = new float[scores.KvHeads[0] * scores.Tokens];
        foreach (int layer in Layers)
        {
            expected.Write(layer, ranksOfLayer);
            using var read = new LayerRows(session.CachedRows, RowKind.Keys, layer);
            for (int head = 0; head < scores.KvHeads[layer]; head++)
            {
                float[][] keys = [.. Enumerable.Range(0, scores.Tokens).Select(token => read.Row(head, token).ToArray())];
                double[] mean = [.. Enumerable.Range(0, 64).Select(channel => keys.Average(key => (double)key[channel] / Norm(key)))];
                double length = Math.Sqrt(mean.Sum(x => x * x));
                Assert.Equal(
                    keys.Select(key => key.Zip(mean, (x, y) => x * y).Sum() / (Norm(key) * length)),
                    scores.Values(new KeyLikeness(), layer, head).ToArray().Select(x => (double)x),
                    (one, other) => Math.Abs(one - other) < 1e-4);
                Assert.Equal(
                    keys.Select(key => key.Zip(products.Directions.Of(layer, head).ToArray(), (x, y) => (double)x * y).Sum() / Norm(key)),
                    scores.Values(products, layer, head).ToArray().Zip(keys, (x, key) => x / Norm(key)),
                    (one, other) => Math.Abs(one - other) < 1e-4);
                Assert.Equal(ranksOfLayer.AsSpan(head * scores.Tokens, scores.Tokens), scores.Values(ranks, layer, head));
            }
        }
    }

    [Fact]
    public async Task ScoreAsync_FutureAttentionAndCapacity_CostOnePassAndKeepNoMoments()
    {
        using EdgeSession session = await fixture.Reader();
        FutureAttention attention = new(First: 4, Ahead: 512);
        ValueCapacity capacity = new(First: 4, Ahead: 512, Sharpness: 5);

        using AttentionScores scores = await session.ScoreAsync(new ScoreRequest(attention, capacity));

        Assert.Equal([attention, capacity], scores.Statistics);
        Assert.Equal(scores.Tokens, scores.PassTokens);
        for (int layer = 0; layer < scores.Layers; layer++)
        {
            for (int head = 0; head < scores.Heads[layer]; head++)
            {
                float[] weights = scores.Values(attention, layer, head).ToArray();
                Assert.Equal(1, weights.Sum(), 1e-4);
                Assert.All(weights[..4], weight => Assert.Equal(0, weight));
                Assert.All(weights[4..], weight => Assert.InRange(weight, 0, 1));
            }

            for (int head = 0; head < scores.KvHeads[layer]; head++)
            {
                // What all rows of an attention head add up to is less than the channels that they span.
                float[] capacities = scores.Values(capacity, layer, head).ToArray();
                Assert.All(capacities[..4], x => Assert.Equal(0, x));
                Assert.All(capacities[4..], x => Assert.InRange(x, 0, 1));
                Assert.InRange(capacities.Sum(), 0, 64);
            }
        }
    }

    [Fact]
    public async Task ScoreAsync_NothingBesideTheSinks_SaysWhatToDo()
    {
        using EdgeSession session = await fixture.Reader();

        PlanException error = await Assert.ThrowsAsync<PlanException>(() => session.CompressAsync(new CapKV { Sinks = session.Position }));

        Assert.Contains("Leave out fewer, or read a longer context", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ScoreAsync_DirectionsOfAnotherModel_SaysBothSizes()
    {
        using EdgeSession session = await fixture.Reader();
        var policy = new QFilters { Directions = new QueryDirections(HeadLayout.Uniform(1, 2), new float[6]) };

        PlanException error = await Assert.ThrowsAsync<PlanException>(() => session.ScoreAsync(policy.Request));

        Assert.Equal("The directions of queries are of 1 layers x 2 KV heads, 3 elements each; keys of this model are of 30 layers x 3, 64 in layer 0.", error.Message);
    }

    [Fact]
    public async Task Plan_SessionWentOn_IsStillThatOfTheScores()
    {
        using EdgeSession session = await fixture.Reader();
        using AttentionScores scores = await session.ScoreAsync(new KeyDiff().Request);
        CompressionPlan plan = new KeyDiff().Plan(scores);

        session.Dispose();

        Assert.Equal(plan, new KeyDiff().Plan(scores));
    }

    [Fact]
    public async Task CompressAsync_ByRows_KeepsWhatThePolicyPlans()
    {
        foreach (ScoredPolicy policy in (ScoredPolicy[])[new KeyDiff { Ratio = 0.3 }, new LagKV { Lag = 8, Ratio = 0.3 }])
        {
            using EdgeSession session = await fixture.Reader();
            CompressionPlan plan;
            using (AttentionScores scores = await session.ScoreAsync(policy.Request))
            {
                plan = policy.Plan(scores);
            }

            CompressionReport report = await session.CompressAsync(policy);

            Assert.Equal(plan.TotalRows, report.TotalRowsAfter);
            Assert.NotEmpty(await ModelFixture.Answer(session, "How tall is the lighthouse?"));
        }
    }

    [Fact]
    public async Task ScoreAsync_CompactCache_IsRefused()
    {
        using EdgeSession session = await fixture.Reader();
        await session.CompressAsync(new Knorm());

        Assert.Contains(
            "compact",
            (await Assert.ThrowsAsync<SessionStateException>(() => session.ScoreAsync(new KeyDiff().Request))).Message,
            StringComparison.Ordinal);
    }

    private static double Norm(float[] row) => Math.Sqrt(row.Sum(x => (double)x * x));

    private static bool Near(float one, float other) => Math.Abs(one - other) <= 1e-4f * Math.Abs(one);
}
