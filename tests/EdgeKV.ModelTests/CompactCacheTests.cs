using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Sessions;
using LLama.Native;

namespace EdgeKV.ModelTests;

/// <summary>What a compact cache must be able to do besides attention: grow, be cut again, roll back, be saved.</summary>
public sealed class CompactCacheTests
{
    private const int Context = 200;

    public static TheoryData<KvCacheType> Types => [.. MeasuredTypes.All];

    [Theory]
    [MemberData(nameof(Types))]
    public void Decode_PastTheRoom_GrowsAndGoesOn(KvCacheType type)
    {
        int[] tokens = TinyModels.RandomTokens(Context + 300, 3);
        using EdgeModel model = Options(type).Load();
        CompressionPlan plan = Plans.Ragged(model.Geometry.KvHeads, Context, 3);
        Logits[] both = [.. new[] { 16, 512 }.Select(room =>
        {
            using EdgeSession session = Compact(model, plan, tokens, type, room);
            Logits prompt = session.Kv!.DecodeAll(tokens.AsSpan(Context, 90), stepwise: false);
            return prompt.Then(session.Kv!.DecodeAll(tokens.AsSpan(Context + 90, 210)));
        })];
        Assert.InRange(Divergence.Of(both[1], both[0]).Max, 0, 1e-4);
    }

    [Fact]
    public void Apply_OverACompactCache_IsThePlanAtOnce()
    {
        int[] tokens = TinyModels.RandomTokens(Context + 16, 3);
        using EdgeModel model = Options(KvCacheType.F16).Load();
        CompressionPlan first = Plans.Uniform(model.Geometry.KvHeads, Context, 0.7, 1);
        CompressionPlan second = Thinned(Plans.Ragged(model.Geometry.KvHeads, Context, 4), first);
        using EdgeSession twice = Compact(model, first, tokens);
        twice.Kv!.Apply(second);
        using EdgeSession once = Compact(model, second, tokens);
        Assert.True(once.Kv!.DecodeAll(tokens.AsSpan(Context)).BitEquals(twice.Kv!.DecodeAll(tokens.AsSpan(Context))));
    }

    [Fact]
    public void Apply_AfterTokensOverACompactCache_KeepsThemToo()
    {
        int[] tokens = TinyModels.RandomTokens(Context + 80, 3);
        using EdgeModel model = Options(KvCacheType.F16).Load();
        CompressionPlan plan = Plans.Ragged(model.Geometry.KvHeads, Context, 4);
        using EdgeSession once = Compact(model, plan, tokens);
        once.Kv!.DecodeAll(tokens.AsSpan(Context, 50), stepwise: false);
        using EdgeSession rewritten = Compact(model, plan, tokens);
        rewritten.Kv!.DecodeAll(tokens.AsSpan(Context, 50), stepwise: false);
        rewritten.Kv!.Apply(Extended(plan, 50));
        Assert.Equal(Context + 50, rewritten.Position);
        Divergence kl = Divergence.Of(once.Kv!.DecodeAll(tokens.AsSpan(Context + 50)), rewritten.Kv!.DecodeAll(tokens.AsSpan(Context + 50)));
        Assert.InRange(kl.Max, 0, 1e-4);
    }

    [Fact]
    public void Rollback_OfAppendedTokens_LeavesTheContext()
    {
        int[] tokens = TinyModels.RandomTokens(Context + 40, 3);
        using EdgeModel model = Options(KvCacheType.F16).Load();
        using EdgeSession session = Compact(model, Plans.Composite(model.Geometry.KvHeads, Context, 3), tokens);
        Logits before = session.Kv!.DecodeAll(tokens.AsSpan(Context, 8));
        session.Rollback(Context);
        session.Kv!.DecodeAll(tokens.AsSpan(Context + 8, 32), stepwise: false);
        session.Rollback(Context);
        Assert.True(session.Kv!.DecodeAll(tokens.AsSpan(Context, 8)).BitEquals(before));
    }

    [Fact]
    public void Positions_AfterAPlan_AreThePlans()
    {
        int[] tokens = TinyModels.RandomTokens(Context, 3);
        using EdgeModel model = Options(KvCacheType.Q8_0).Load();
        CompressionPlan plan = Plans.Ragged(model.Geometry.KvHeads, Context, 3);
        using EdgeSession session = Compact(model, plan, tokens, KvCacheType.Q8_0);
        Assert.True(session.Cache.IsCompact);
        Assert.Equal(plan, session.Kv!.KeptPlan());
    }

    [Theory]
    [MemberData(nameof(Types))]
    public async Task State_OfACompactCache_GoesOnAfterLoading(KvCacheType type)
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        int[] tokens = TinyModels.RandomTokens(Context + 40, 3);
        using EdgeModel model = Options(type).Load();
        using EdgeSession saved = Compact(model, Plans.Ragged(model.Geometry.KvHeads, Context, 3), tokens, type);
        saved.Kv!.DecodeAll(tokens.AsSpan(Context, 8));
        string path = Path.Combine(Places.Cache, $"state-{Environment.ProcessId}");
        try
        {
            await saved.SaveAsync(path, cancellation);
            using EdgeSession loaded = model.CreateSession(Options(type).Session);
            await loaded.LoadAsync(path, cancellation);
            Assert.Equal(tokens[..(Context + 8)], loaded.Cache.Tokens.ToArray());
            Assert.Equal(saved.Cache.Bytes, loaded.Cache.Bytes);
            Assert.Equal(saved.Kv!.KeptPlan(), loaded.Kv!.KeptPlan());
            Assert.True(saved.Kv!.DecodeAll(tokens.AsSpan(Context + 8)).BitEquals(loaded.Kv!.DecodeAll(tokens.AsSpan(Context + 8))));
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public async Task State_OfAFullCache_GoesOnAfterLoading()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        int[] tokens = TinyModels.RandomTokens(Context + 16, 3);
        EngineOptions options = Options(KvCacheType.F16);
        using EdgeModel model = options.Load();
        using EdgeSession saved = model.CreateSession(options.Session);
        saved.Kv!.Prefill(tokens.AsSpan(0, Context));
        string path = Path.Combine(Places.Cache, $"state-{Environment.ProcessId}");
        try
        {
            await saved.SaveAsync(path, cancellation);
            using EdgeSession loaded = model.CreateSession(options.Session);
            await loaded.LoadAsync(path, cancellation);
            CompressionPlan all = CompressionPlan.KeepAll(model.Geometry.KvHeads, Context);
            loaded.Kv!.Apply(all);
            saved.Kv!.Apply(all);
            Assert.True(saved.Kv!.DecodeAll(tokens.AsSpan(Context)).BitEquals(loaded.Kv!.DecodeAll(tokens.AsSpan(Context))));
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public async Task State_TruncatedOrFlipped_IsRefused()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        int[] tokens = TinyModels.RandomTokens(Context + 4, 3);
        using EdgeModel model = Options(KvCacheType.F16).Load();
        using EdgeSession saved = Compact(model, Plans.Ragged(model.Geometry.KvHeads, Context, 3), tokens);
        using MemoryStream stream = new();
        await saved.SaveAsync(stream, cancellation);
        using EdgeSession session = model.CreateSession(Options(KvCacheType.F16).Session);
        Random random = new(1);
        for (int i = 0; i < 60; i++)
        {
            byte[] bad = Damaged(stream.ToArray(), truncate: i % 2 == 0, random);
            EdgeKVException refusal = await Assert.ThrowsAsync<EdgeKVException>(() => session.LoadAsync(new MemoryStream(bad), cancellation));
            Assert.DoesNotContain("magic", refusal.Message, StringComparison.Ordinal);

            // Empty then, and usable.
            Assert.Equal(0, session.Position);
            session.Decode(tokens.AsSpan(0, 8));
            session.Clear();
        }
    }

    // llama.cpp's own state, which LLamaSharp loads: it has no checksum, so a flipped bit may load.
    [Fact]
    public void RawState_TruncatedOrFlipped_IsRefusedOrWorks()
    {
        int[] tokens = TinyModels.RandomTokens(Context + 4, 3);
        using EdgeModel model = Options(KvCacheType.F16).Load();
        using EdgeSession saved = Compact(model, Plans.Ragged(model.Geometry.KvHeads, Context, 3), tokens);
        byte[] good = StateOf(saved.Context!.NativeHandle);
        using EdgeSession session = model.CreateSession(Options(KvCacheType.F16).Session);
        Random random = new(1);
        for (int i = 0; i < 60; i++)
        {
            byte[] bad = Damaged(good, truncate: i % 2 == 0, random);
            if (Load(session.Context!.NativeHandle, bad) == 0)
            {
                SessionStateException refusal = Assert.Throws<SessionStateException>(() => { _ = session.Cache; });
                Assert.Contains("state", refusal.Message, StringComparison.Ordinal);
            }
            else
            {
                Assert.True(i % 2 != 0, "A truncated state was loaded.");
            }

            session.Clear();
            Assert.Equal(0, session.Position);
            session.Decode(tokens.AsSpan(0, 8));
            session.Clear();
        }
    }

    private static EngineOptions Options(KvCacheType type) =>
        new(TinyModels.PathOf(TinyModel.LlamaGrouped)) { ContextSize = 512, Type = type, Threads = 1 };

    private static EdgeSession Compact(EdgeModel model, CompressionPlan plan, int[] tokens, KvCacheType type = KvCacheType.F16, int room = 0)
    {
        EdgeSession session = model.CreateSession(Options(type).Session);
        session.Kv!.Prefill(tokens.AsSpan(0, Context));
        session.Kv!.Apply(plan, room);
        return session;
    }

    private static byte[] Damaged(byte[] good, bool truncate, Random random)
    {
        if (truncate)
        {
            return good[..random.Next(good.Length)];
        }

        byte[] bad = [.. good];
        bad[random.Next(Math.Min(bad.Length, 6000))] ^= (byte)(1 << random.Next(8));
        return bad;
    }

    private static unsafe byte[] StateOf(SafeLLamaContextHandle context)
    {
        byte[] state = new byte[context.GetStateSize()];
        fixed (byte* bytes = state)
        {
            return state[..(int)context.GetState(bytes, (nuint)state.Length)];
        }
    }

    private static unsafe nuint Load(SafeLLamaContextHandle context, byte[] state)
    {
        fixed (byte* bytes = state)
        {
            return context.SetState(bytes, (nuint)state.Length);
        }
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
        int[][] all = [.. Enumerable.Range(0, plan.KvHeads.Total).Select(i => positions(plan.KvHeads.At(i).Layer, plan.KvHeads.At(i).Head).ToArray())];
        return new CompressionPlan(plan.KvHeads, tokens, all.Select(p => p.Length).ToArray(), all.SelectMany(p => p).ToArray());
    }
}
