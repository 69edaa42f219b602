using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using EdgeKV.Engine;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Profiles;
using EdgeKV.Sessions;
using LLama;
using LLama.Common;
using LLama.Native;

namespace EdgeKV.Native.Tests;

/// <summary>Models, contexts and views of them, disposed in any order, twice and late.</summary>
public sealed class OwnershipTests
{
    [Fact]
    public void Dispose_ModelBeforeContext_KeepsTheModelForTheContext()
    {
        EdgeModel model = Load();
        SafeLlamaModelHandle handle = model.Handle;
        LLamaContext context = Create(model);
        using KvContext kv = KvContext.Attach(context);

        model.Dispose();

        Assert.False(handle.IsClosed);
        Assert.Equal(model.VocabularySize, kv.Decode([1, 2, 3]).Length);
        Assert.Throws<ObjectDisposedException>(() => model.Tokenize("a"));
        context.Dispose();
        Assert.True(handle.IsClosed);
    }

    [Fact]
    public void Dispose_Twice_FreesOnce()
    {
        EdgeModel model = Load();
        SafeLlamaModelHandle handle = model.Handle;
        LLamaContext context = Create(model);
        KvContext kv = KvContext.Attach(context);

        kv.Dispose();
        kv.Dispose();
        context.Dispose();
        context.Dispose();

        Assert.Equal(1, References(handle));
        model.Dispose();
        model.Dispose();
        Assert.Equal(0, References(handle));
    }

    [Fact]
    public async Task Dispose_ModelWithAProfile_FreesTheWeightsWithTheLastSession()
    {
        EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        SafeLlamaModelHandle handle = model.Handle;
        ScoreProfile profile = RandomProfile.Of(model, 1);
        EdgeSession session = model.CreateSession(new SessionOptions { Threads = 1, Profile = profile });
        await session.PrefillAsync(TinyModels.RandomTokens(20, 1));
        Assert.True(session.Cache.HasLearnedScores);

        model.Dispose();
        Assert.False(handle.IsClosed);
        session.Dispose();

        Assert.True(handle.IsClosed);
        GC.KeepAlive(profile);
    }

    [Fact]
    public void Use_AfterTheContextsEnd_Throws()
    {
        using EdgeModel model = Load();
        LLamaContext context = Create(model);
        KvContext kv = KvContext.Attach(context);
        kv.Decode([1, 2]);
        context.Dispose();

        Assert.Throws<ObjectDisposedException>(() => kv.Decode([1]).Length);
        Assert.Throws<ObjectDisposedException>(() => kv.State);
        Assert.Throws<ObjectDisposedException>(() => kv.Position);
        Assert.Throws<ObjectDisposedException>(() => kv.Logits().Length);
        Assert.Throws<ObjectDisposedException>(() => kv.Rollback(0));
        Assert.Throws<ObjectDisposedException>(kv.Clear);
        Assert.Throws<ObjectDisposedException>(() => KvContext.Attach(context));
        kv.Native.Interrupt();
        kv.Dispose();
    }

    [Fact]
    public void Dispose_View_ChangesNothingForTheContextAndItsOtherViews()
    {
        using EdgeModel model = Load();
        using LLamaContext context = Create(model);
        KvContext first = KvContext.Attach(context);
        first.Decode([1, 2, 3]);
        KvContext second = KvContext.Attach(context);

        first.Dispose();

        Assert.Throws<ObjectDisposedException>(() => first.State);
        Assert.Equal([1, 2, 3], second.State.Tokens.ToArray());
        second.Decode([4]);
        second.Dispose();
        Assert.Equal(4, KvContext.Attach(context).Position);
    }

    [Fact]
    public void Create_ContextBeyondMemoryOrOfAnUnknownType_LeavesTheModel()
    {
        using EdgeModel model = Load();

        Assert.Throws<ArgumentOutOfRangeException>(() => model.CreateSession(new SessionOptions { ContextSize = 64, CacheType = (KvCacheType)999 }));
        Assert.ThrowsAny<EdgeKVException>(() => model.CreateSession(new SessionOptions { ContextSize = 64, Attention = (AttentionKernel)99 }));

        Assert.Equal(1, References(model.Handle));
    }

    [Fact]
    public void Create_ScoresOfNothing_IsRefused()
    {
        using EdgeModel model = Load();
        using LLamaContext context = Create(model);
        KvContext.Attach(context);

        Assert.Equal(NativeStatus.Argument, NativeMethods.edgekv_scores_create(context.NativeHandle, 0, NativeAggregates.Max, out _));
    }

    [Fact]
    public unsafe void Dispose_ContextBeforeScores_LeavesTheScores()
    {
        using EdgeModel model = Load();
        LLamaContext context = Create(model);
        KvContext.Attach(context);
        NativeErrors.ThrowIfFailed(
            NativeMethods.edgekv_scores_create(context.NativeHandle, 3, NativeAggregates.Max, out nint created), "edgekv_scores_create");
        using ScoresHandle scores = new(created);

        context.Dispose();

        float* data = NativeMethods.edgekv_scores_data(scores, NativeAggregates.Max);
        Assert.Equal(0f, data[0]);
        Assert.True(NativeMethods.edgekv_scores_data(scores, NativeAggregates.Sum) is null);
    }

    [Fact]
    public void Collect_ForgottenObjects_FreesModelAndContext()
    {
        (WeakReference<SafeHandle> model, WeakReference<SafeHandle> context) = Forget();
        for (int i = 0; i < 10 && (IsThere(model) || IsThere(context)); i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.False(IsThere(context));
        Assert.False(IsThere(model));

        // In methods of their own, so that no local of this one keeps a handle.
        [MethodImpl(MethodImplOptions.NoInlining)]
        static (WeakReference<SafeHandle> Model, WeakReference<SafeHandle> Context) Forget()
        {
            EdgeModel model = Load();
            LLamaContext context = Create(model);
            KvContext.Attach(context).Decode([1]);
            return (new WeakReference<SafeHandle>(model.Handle), new WeakReference<SafeHandle>(context.NativeHandle));
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        static bool IsThere(WeakReference<SafeHandle> handle) => handle.TryGetTarget(out _);
    }

    private static EdgeModel Load() => EdgeModel.Load(Places.Model);

    private static LLamaContext Create(EdgeModel model) =>
        model.Weights.CreateContext(new ModelParams(model.Path) { ContextSize = 64, BatchSize = 64, UBatchSize = 64, Threads = 1, BatchThreads = 1 });

    /// <summary>References that a handle still has: its owner's, as long as it is open, and those of its children.</summary>
    private static int References(SafeHandle handle)
    {
        // The lowest two bits say closed and disposed.
        return State(handle) >> 2;

        [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_state")]
        static extern ref int State(SafeHandle handle);
    }
}
