using System.Numerics.Tensors;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Scoring;

namespace EdgeKV.Native.Tests;

/// <summary>Cached rows as a session gives them.</summary>
public sealed class CacheRowsTests(ModelFixture fixture)
{
    private static readonly ScoreRequest Both = new(new CacheRows(RowKind.Keys), new CacheRows(RowKind.Values), new KeyNorms(), new ValueNorms());

    [Fact]
    public async Task ScoreAsync_Rows_HaveTheNormsThatTheEngineGives()
    {
        using EdgeSession session = await fixture.Reader();
        using AttentionScores scores = await session.ScoreAsync(Both);

        Assert.Equal(0, scores.PassTokens);
        Assert.Equal(64, scores.HeadSize(RowKind.Keys));
        Assert.Equal(64, scores.HeadSize(RowKind.Values));
        foreach (int layer in (int[])[0, 17, 29])
        {
            using var keys = new LayerRows(scores, RowKind.Keys, layer);
            using var values = new LayerRows(scores, RowKind.Values, layer);
            for (int head = 0; head < scores.KvHeads; head++)
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
    public async Task ScoreAsync_OneKind_GivesThatOnly()
    {
        using EdgeSession session = await fixture.Reader();
        using AttentionScores scores = await session.ScoreAsync(new ScoreRequest(new CacheRows(RowKind.Values)));

        Assert.Equal([new CacheRows(RowKind.Values)], scores.Statistics);
        Assert.Throws<InvalidOperationException>(() => scores.HeadSize(RowKind.Keys));
    }

    public static TheoryData<string, Func<EdgeSession, Task>> Changes { get; } = new()
    {
        { "decode", session => Task.FromResult(session.Decode([1]).Length) },
        { "roll back", session => { session.Rollback(9); return Task.CompletedTask; } },
        { "clear", session => { session.Clear(); return Task.CompletedTask; } },
        { "answer", session => ModelFixture.Answer(session, "How tall is it?") },
        { "compress", session => session.CompressAsync(new Knorm()) },
        { "dispose", session => { session.Dispose(); return Task.CompletedTask; } },
    };

    [Theory]
    [MemberData(nameof(Changes), DisableDiscoveryEnumeration = true)]
    public async Task CopyRows_SessionWentOn_IsRefused(string change, Func<EdgeSession, Task> go)
    {
        using EdgeSession session = await fixture.Reader();
        using AttentionScores scores = await session.ScoreAsync(Both);
        float[] rows = new float[scores.Tokens * scores.KvHeads * 64];
        scores.CopyRows(RowKind.Keys, 3, rows);
        Assert.True(rows[^1] != 0);

        await go(session);

        SessionStateException error = Assert.Throws<SessionStateException>(() => scores.CopyRows(RowKind.Keys, 3, rows));
        Assert.Contains(change == "dispose" ? "has been disposed" : "went on", error.Message, StringComparison.Ordinal);
        error = Assert.Throws<SessionStateException>(() => new KeyDiff().Plan(scores));
        Assert.Contains("keys cannot be read any more", error.Message, StringComparison.Ordinal);
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
            "compact", (await Assert.ThrowsAsync<SessionStateException>(() => session.ScoreAsync(Both))).Message, StringComparison.Ordinal);
    }

    private static bool Near(float one, float other) => Math.Abs(one - other) <= 1e-4f * Math.Abs(one);
}
