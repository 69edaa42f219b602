using EdgeKV.Compression;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using EdgeKV.Reading;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.Native.Tests;

/// <summary>Positions that close up, and values that are merged, as options of a session's compression.</summary>
public sealed class RerotationTests(ModelFixture fixture)
{
    private const int Tokens = 300;

    private static readonly SessionOptions Options = new() { Threads = 1, CacheType = KvCacheType.F32 };
    private static readonly CompressOptions Closing = new() { Rerotate = true };

    [Theory]
    [InlineData(TinyModel.LlamaGrouped)]
    [InlineData(TinyModel.Qwen3)]
    public async Task CompressAsync_Rerotated_ContinuesAfterTheRows(TinyModel tiny)
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(tiny));
        using EdgeSession session = model.CreateSession(Options);
        using EdgeSession still = model.CreateSession(Options);
        int[] tokens = TinyModels.RandomTokens(Tokens, 1);
        await session.PrefillAsync(tokens);
        await still.PrefillAsync(tokens);

        CompressionReport report = await session.CompressAsync(new StreamingLLM { Ratio = 0.5 }, Closing);
        await still.CompressAsync(new StreamingLLM { Ratio = 0.5 });

        Assert.True(report.Rerotated);
        Assert.Equal(Tokens, report.ContextTokens);
        Assert.Equal(Tokens / 2, session.Position);
        Assert.Equal((Tokens / 2, Tokens / 2), (session.Cache.ContextTokens, session.Cache.Position));
        Assert.Equal(Tokens, still.Position);

        // A plan of the closed positions, over what is left and what came since.
        float[] moved = session.Decode([7]).ToArray();
        Assert.NotEqual(still.Decode([7]).ToArray(), moved);
        report = await session.ApplyAsync(
            CompressionPlan.Uniform(model.Geometry.KvHeads, Tokens / 2 + 1, [0, 1, 2, 149, 150]), Closing);
        Assert.Equal(5, session.Position);
        Assert.Equal(5L * model.Geometry.KvHeads.Total, report.TotalRowsAfter);
        session.Decode([8]);
        Assert.Equal(6, session.Position);
    }

    [Fact]
    public async Task CompressAsync_RerotatedRowsOfDifferentNumber_AreRefusedAndTheCacheIsWhole()
    {
        using EdgeSession session = await fixture.Reader();
        int tokens = session.Position;

        PlanException error = await Assert.ThrowsAsync<PlanException>(() => session.CompressAsync(new GlobalRanking(new LearnedScorer()) { Ratio = 0.5 }, Closing));

        Assert.Contains("Positions close up where all KV heads keep equally many", error.Message, StringComparison.Ordinal);
        Assert.False(session.Cache.IsCompact);
        Assert.Equal(tokens, session.Position);
        await session.CompressAsync(new SnapKV { Window = 8, Ratio = 0.3 }, Closing);
        Assert.Equal((int)(tokens * 0.7), session.Position);
        Assert.NotEmpty(await ModelFixture.Answer(session, "How tall is the lighthouse?"));
    }

    [Fact]
    public async Task CompressAsync_RerotatedByAPolicyOfUnequalRows_IsRefusedBeforeThePass()
    {
        using EdgeSession session = await fixture.Reader();
        List<CompressionStage> stages = [];

        PlanException error = await Assert.ThrowsAsync<PlanException>(() => session.CompressAsync(new KVCompose(), Closing, new Stages(stages)));

        Assert.Contains("those of policy kvcompose do not", error.Message, StringComparison.Ordinal);
        Assert.Empty(stages);
        Assert.Equal(session.Position, (await session.CompressAsync(new KVCompose { Ratio = 0 }, Closing)).ContextTokens);
    }

    [Fact]
    public async Task CompressAsync_MergedOverACompactCache_IsRefusedBeforeScoring()
    {
        using EdgeSession session = await fixture.Reader();
        await session.CompressAsync(new SnapKV { Window = 8, Ratio = 0.3 });
        List<CompressionStage> stages = [];

        SessionStateException error = await Assert.ThrowsAsync<SessionStateException>(
            () => session.CompressAsync(new StreamingLLM { Ratio = 0.6 }, new CompressOptions { Merge = true }, new Stages(stages)));

        Assert.Contains("Cannot merge values", error.Message, StringComparison.Ordinal);
        Assert.Empty(stages);
    }

    private sealed class Stages(List<CompressionStage> stages) : IProgress<CompressionProgress>
    {
        public void Report(CompressionProgress value) => stages.Add(value.Stage);
    }

    [Fact]
    public async Task CompressWhileReadingAsync_Rerotated_ReadsMoreThanTheWindow()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.Qwen2));
        using EdgeSession session = model.CreateSession(new SessionOptions { Threads = 1, Profile = RandomProfile.Of(model, 1) });
        int[] tokens = TinyModels.RandomTokens(model.Window + 900, 2);
        ReadingOptions reading = new() { Rerotate = true, ChunkTokens = 400, KeepLatest = 30 };

        ContextWindowException window = await Assert.ThrowsAsync<ContextWindowException>(
            () => session.CompressWhileReadingAsync(tokens, new GlobalRanking(new LearnedScorer()) { Ratio = 0.05 }, reading));
        Assert.Contains("Keep fewer, or read in smaller chunks", window.Message, StringComparison.Ordinal);
        CompressionReport report = await session.CompressWhileReadingAsync(tokens, new GlobalRanking(new LearnedScorer()) { Budget = Budget.FromRows(250) }, reading);

        Assert.True(report.Rerotated);
        Assert.Equal(250, session.Position);
        Assert.All(report.RowsAfter, rows => Assert.Equal(250, rows));
        Assert.Equal(tokens.Length, report.ContextTokens);
        Assert.Equal(1 - 250.0 / tokens.Length, report.RatioAchieved, 1e-9);
        Assert.Equal(model.VocabularySize, session.Decode([5]).Length);
        Assert.Equal(251, session.Position);
    }

    [Fact]
    public async Task CompressAsync_Merged_IsTheMergeOfTheDefinitionBeforeThePlan()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        int[] tokens = TinyModels.RandomTokens(60, 3);
        using EdgeSession session = model.CreateSession(Options);
        using EdgeSession byHand = model.CreateSession(Options);
        using EdgeSession unmerged = model.CreateSession(Options);
        foreach (EdgeSession each in (EdgeSession[])[session, byHand, unmerged])
        {
            await each.PrefillAsync(tokens);
        }

        Knorm policy = new() { Ratio = 0.7 };
        long pairs = 0;
        CompressionPlan plan;
        List<(int Layer, int Head, int[] Dropped, int[] Kept, float[] Weights)> all = [];
        using (AttentionScores scores = await byHand.ScoreAsync(
            new ScoreRequest(new KeyNorms(), new ValueNorms())))
        {
            plan = policy.Plan(scores);
            for (int layer = 0; layer < model.Layers; layer++)
            {
                using var keys = new LayerRows(byHand.CachedRows, RowKind.Keys, layer);
                for (int head = 0; head < model.Geometry.KvHeads[0]; head++)
                {
                    int[] kept = plan.Positions(layer, head).ToArray();
                    var merged = Enumerable.Range(0, 60).Except(kept).Select(position => Pair(position, kept, keys, scores, layer, head)).Where(pair => pair.Weight > 0).ToArray();
                    all.Add((layer, head, [.. merged.Select(pair => pair.Position)], [.. merged.Select(pair => pair.Kept)], [.. merged.Select(pair => (float)pair.Weight)]));
                    pairs += merged.Length;
                }
            }
        }

        all.ForEach(head => Merge(byHand, head.Layer, head.Head, head.Dropped, head.Kept, head.Weights));
        await byHand.ApplyAsync(plan);
        CompressionReport plain = await unmerged.CompressAsync(policy);
        CompressionReport report = await session.CompressAsync(policy, new CompressOptions { Merge = true });

        Assert.Equal(pairs, report.MergedRows);
        Assert.NotNull(report.Merging);
        Assert.Null(plain.Merging);
        float[] expected = byHand.Decode([7]).ToArray();
        Assert.Equal(expected, session.Decode([7]).ToArray(), (one, other) => Math.Abs(one - other) < 1e-3f);
        Assert.NotEqual(expected, unmerged.Decode([7]).ToArray(), (one, other) => Math.Abs(one - other) < 0.05f);
    }

    [Fact]
    public async Task ApplyAsync_MergeInACompactCache_IsRefused()
    {
        using EdgeSession session = await fixture.Reader();
        await session.CompressAsync(new Knorm());

        SessionStateException error = await Assert.ThrowsAsync<SessionStateException>(
            () => session.ApplyAsync(
                CompressionPlan.Uniform(session.Model.Geometry.KvHeads, session.Position, [0]), new CompressOptions { Merge = true }));

        Assert.Contains("Cannot merge values: the cache is compact", error.Message, StringComparison.Ordinal);
    }

    private static (int Position, int Kept, double Weight) Pair(
        int position, int[] kept, LayerRows keys, AttentionScores scores, int layer, int head)
    {
        float[] key = keys.Row(head, position).ToArray();
        (int to, double cosine) = kept.Select(other => (other, Cosine(other))).MaxBy(pair => pair.Item2);
        double own = scores.ValueNorms(layer, head)[position];
        return (position, to, Math.Max(0, cosine) * own / (own + scores.ValueNorms(layer, head)[to]));

        double Cosine(int other)
        {
            float[] one = keys.Row(head, other).ToArray();
            return one.Zip(key, (x, y) => (double)x * y).Sum() / Math.Sqrt(one.Sum(x => (double)x * x) * key.Sum(x => (double)x * x));
        }
    }

    private static unsafe void Merge(EdgeSession session, int layer, int head, int[] dropped, int[] kept, float[] weights)
    {
        fixed (int* from = dropped, to = kept)
        fixed (float* shares = weights)
        {
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_merge(session.Handle, layer, head, from, to, shares, (nuint)dropped.Length), "edgekv_merge");
        }
    }
}
