using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Testing;

namespace EdgeKV.ModelTests;

/// <summary>What a compact cache must be able to do besides attention: grow, be cut again, roll back, be saved.</summary>
public sealed class CompactCacheTests
{
    private const int Context = 200;

    public static TheoryData<KvCacheType> Types => [.. CacheTypes.Measured];

    [Theory]
    [MemberData(nameof(Types))]
    public void Decode_PastTheRoom_GrowsAndGoesOn(KvCacheType type)
    {
        int[] tokens = TinyModels.RandomTokens(Context + 300, 3);
        using Engine model = Engine.Open(Options(type) with { Threads = 1 });
        CompressionPlan plan = Plans.Ragged(model.Layers, model.KvHeads, Context, 3);
        Logits[] both = [.. new[] { 16, 512 }.Select(room =>
        {
            using Engine engine = Compact(model, plan, tokens, room);
            Logits prompt = engine.Decode(tokens.AsSpan(Context, 90), stepwise: false);
            return prompt.Then(engine.Decode(tokens.AsSpan(Context + 90, 210)));
        })];
        Assert.InRange(Divergence.Of(both[1], both[0]).Max, 0, 1e-4);
    }

    [Fact]
    public void Apply_OverACompactCache_IsThePlanAtOnce()
    {
        int[] tokens = TinyModels.RandomTokens(Context + 16, 3);
        using Engine model = Engine.Open(Options(KvCacheType.F16) with { Threads = 1 });
        CompressionPlan first = Plans.Uniform(model.Layers, model.KvHeads, Context, 0.7, 1);
        CompressionPlan second = Thinned(Plans.Ragged(model.Layers, model.KvHeads, Context, 4), first);
        using Engine twice = Compact(model, first, tokens);
        twice.Apply(second);
        using Engine once = Compact(model, second, tokens);
        Assert.True(once.Decode(tokens.AsSpan(Context)).BitEquals(twice.Decode(tokens.AsSpan(Context))));
    }

    [Fact]
    public void Apply_AfterTokensOverACompactCache_KeepsThemToo()
    {
        int[] tokens = TinyModels.RandomTokens(Context + 80, 3);
        using Engine model = Engine.Open(Options(KvCacheType.F16) with { Threads = 1 });
        CompressionPlan plan = Plans.Ragged(model.Layers, model.KvHeads, Context, 4);
        using Engine engine = Compact(model, plan, tokens);
        engine.Decode(tokens.AsSpan(Context, 50), stepwise: false);
        CompressionPlan longer = Extended(plan, 50);
        using Engine expected = model.Sibling(Options(KvCacheType.F16) with { Threads = 1 });
        using Engine rewritten = Compact(model, plan, tokens);
        rewritten.Decode(tokens.AsSpan(Context, 50), stepwise: false);
        rewritten.Apply(longer);
        Assert.Equal(Context + 50, rewritten.Position);
        Divergence kl = Divergence.Of(engine.Decode(tokens.AsSpan(Context + 50)), rewritten.Decode(tokens.AsSpan(Context + 50)));
        Assert.InRange(kl.Max, 0, 1e-4);
    }

    [Fact]
    public void Rollback_OfAppendedTokens_LeavesTheContext()
    {
        int[] tokens = TinyModels.RandomTokens(Context + 40, 3);
        using Engine model = Engine.Open(Options(KvCacheType.F16) with { Threads = 1 });
        using Engine engine = Compact(model, Plans.Composite(model.Layers, model.KvHeads, Context, 3), tokens);
        Logits before = engine.Decode(tokens.AsSpan(Context, 8));
        engine.Rollback(Context);
        engine.Decode(tokens.AsSpan(Context + 8, 32), stepwise: false);
        engine.Rollback(Context);
        Assert.True(engine.Decode(tokens.AsSpan(Context, 8)).BitEquals(before));
    }

    [Fact]
    public void Positions_AfterAPlan_AreThePlans()
    {
        int[] tokens = TinyModels.RandomTokens(Context, 3);
        using Engine model = Engine.Open(Options(KvCacheType.Q8_0));
        CompressionPlan plan = Plans.Ragged(model.Layers, model.KvHeads, Context, 3);
        using Engine engine = Compact(model, plan, tokens);
        Assert.True(engine.IsCompact);
        for (int layer = 0; layer < plan.Layers; layer++)
        {
            for (int head = 0; head < plan.KvHeads; head++)
            {
                Assert.Equal(plan.Positions(layer, head).ToArray(), engine.Positions(layer, head));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void State_OfACompactCache_GoesOnAfterLoading(KvCacheType type)
    {
        int[] tokens = TinyModels.RandomTokens(Context + 40, 3);
        using Engine model = Engine.Open(Options(type) with { Threads = 1 });
        using Engine saved = Compact(model, Plans.Ragged(model.Layers, model.KvHeads, Context, 3), tokens);
        saved.Decode(tokens.AsSpan(Context, 8));
        string path = Path.Combine(Places.Cache, $"state-{Environment.ProcessId}");
        try
        {
            saved.Save(path, tokens.AsSpan(0, Context + 8));
            using Engine loaded = model.Sibling(Options(type) with { Threads = 1 });
            Assert.Equal(tokens[..(Context + 8)], loaded.Load(path, 4096));
            Assert.Equal(saved.CacheBytes, loaded.CacheBytes);
            Assert.Equal(saved.Rows().Rows, loaded.Rows().Rows);
            Assert.Equal(saved.Positions(1, 1), loaded.Positions(1, 1));
            Assert.True(saved.Decode(tokens.AsSpan(Context + 8)).BitEquals(loaded.Decode(tokens.AsSpan(Context + 8))));
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void State_OfAFullCache_GoesOnAfterLoading()
    {
        int[] tokens = TinyModels.RandomTokens(Context + 16, 3);
        EngineOptions options = Options(KvCacheType.F16) with { Threads = 1 };
        using Engine saved = Engine.Open(options);
        saved.Prefill(tokens.AsSpan(0, Context));
        string path = Path.Combine(Places.Cache, $"state-{Environment.ProcessId}");
        try
        {
            saved.Save(path, tokens.AsSpan(0, Context));
            using Engine loaded = saved.Sibling(options);
            loaded.Load(path, 4096);
            loaded.Apply(CompressionPlan.KeepAll(loaded.Layers, loaded.KvHeads, Context));
            saved.Apply(CompressionPlan.KeepAll(loaded.Layers, loaded.KvHeads, Context));
            Assert.True(saved.Decode(tokens.AsSpan(Context)).BitEquals(loaded.Decode(tokens.AsSpan(Context))));
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void State_TruncatedOrFlipped_IsRefusedOrWorks()
    {
        int[] tokens = TinyModels.RandomTokens(Context + 4, 3);
        using Engine model = Engine.Open(Options(KvCacheType.F16) with { Threads = 1 });
        using Engine saved = Compact(model, Plans.Ragged(model.Layers, model.KvHeads, Context, 3), tokens);
        string path = Path.Combine(Places.Cache, $"state-{Environment.ProcessId}");
        try
        {
            saved.Save(path, tokens.AsSpan(0, Context));
            byte[] good = File.ReadAllBytes(path);
            Random random = new(1);
            for (int i = 0; i < 60; i++)
            {
                byte[] bad = [.. good];
                if (i % 2 == 0)
                {
                    bad = bad[..random.Next(bad.Length)];
                }
                else
                {
                    bad[random.Next(Math.Min(bad.Length, 6000))] ^= (byte)(1 << random.Next(8));
                }

                File.WriteAllBytes(path, bad);
                using Engine engine = model.Sibling(Options(KvCacheType.F16) with { Threads = 1 });
                try
                {
                    engine.Load(path, 4096);
                    Assert.True(i % 2 != 0, "A truncated state was loaded.");
                }
                catch (EdgeKVException)
                {
                    // Empty then, and usable.
                    Assert.Equal(0, engine.Position);
                    engine.Prefill(tokens.AsSpan(0, 8));
                }
            }
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static EngineOptions Options(KvCacheType type) =>
        new(TinyModels.PathOf(TinyModel.LlamaGrouped)) { ContextSize = 512, Type = type };

    private static Engine Compact(Engine model, CompressionPlan plan, int[] tokens, int room = 0)
    {
        Engine engine = model.Sibling(model.Options);
        engine.Prefill(tokens.AsSpan(0, Context));
        engine.Apply(plan, room);
        return engine;
    }

    // The rows that both plans keep.
    private static CompressionPlan Thinned(CompressionPlan plan, CompressionPlan by) =>
        Mapped(plan, plan.ContextTokens, (layer, head) => plan.Positions(layer, head).ToArray().Intersect(by.Positions(layer, head).ToArray()));

    private static CompressionPlan Extended(CompressionPlan plan, int appended) => Mapped(
        plan,
        plan.ContextTokens + appended,
        (layer, head) => plan.Positions(layer, head).ToArray().Concat(Enumerable.Range(plan.ContextTokens, appended)));

    private static CompressionPlan Mapped(CompressionPlan plan, int tokens, Func<int, int, IEnumerable<int>> positions)
    {
        int[][] all = [.. Enumerable.Range(0, plan.Layers * plan.KvHeads).Select(i => positions(i / plan.KvHeads, i % plan.KvHeads).ToArray())];
        return new CompressionPlan(plan.Layers, plan.KvHeads, tokens, all.Select(p => p.Length).ToArray(), all.SelectMany(p => p).ToArray());
    }
}
