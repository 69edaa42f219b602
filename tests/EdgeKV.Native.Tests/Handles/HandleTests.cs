using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using EdgeKV.Testing;

namespace EdgeKV.Native.Tests;

public sealed unsafe class HandleTests
{
    [Fact]
    public void Dispose_ModelBeforeContext_KeepsTheModelForTheContext()
    {
        ModelHandle model = Load();
        ContextHandle context = Create(model);

        Assert.Equal(2, References(model));
        model.Dispose();

        Assert.Equal(1, References(model));
        Assert.Equal(NativeStatus.Ok, Feed(context, [1, 2, 3]));
        context.Dispose();
        Assert.Equal(0, References(model));
        Assert.True(model.IsClosed);
    }

    [Fact]
    public void Dispose_Twice_FreesOnce()
    {
        ModelHandle model = Load();
        ContextHandle context = Create(model);

        context.Dispose();
        context.Dispose();

        Assert.Equal(1, References(model));
        model.Dispose();
        model.Dispose();
        Assert.Equal(0, References(model));
    }

    [Fact]
    public void Use_AfterDispose_Throws()
    {
        ModelHandle model = Load();
        ContextHandle context = Create(model);
        context.Dispose();
        model.Dispose();

        Assert.Throws<ObjectDisposedException>(() => Feed(context, [1]));
        Assert.Throws<ObjectDisposedException>(() => NativeMethods.edgekv_model_supported(model));
        Assert.Throws<ObjectDisposedException>(() => Create(model));
        Assert.Throws<ObjectDisposedException>(() => ScoresHandle.Create(context, 1, NativeAggregates.Max));
        context.Interrupt();
    }

    [Fact]
    public void Create_AttentionUnknown_ReleasesTheModelOnce()
    {
        using ModelHandle model = Load();

        Assert.ThrowsAny<EdgeKVException>(
            () => ContextHandle.Create(model, 256, 32, NativeType.F16, 1, offloadKv: true, (NativeAttention)99));

        Assert.Equal(1, References(model));
    }

    [Fact]
    public void Create_ContextBeyondTheWindow_ReleasesTheModel()
    {
        using ModelHandle model = Load();

        ContextWindowException exception = Assert.Throws<ContextWindowException>(
            () => ContextHandle.Create(model, uint.MaxValue / 2, 512, NativeType.F16, 1, offloadKv: true));

        Assert.Equal(nameof(NativeMethods.edgekv_context_create), exception.Function);
        Assert.Equal(1, References(model));
    }

    [Fact]
    public void Create_UnknownType_ReleasesTheModel()
    {
        using ModelHandle model = Load();

        EdgeKVException exception = Assert.Throws<EdgeKVException>(
            () => ContextHandle.Create(model, 64, 64, (NativeType)999, 1, offloadKv: true));

        Assert.Equal(NativeStatus.Argument, exception.NativeStatus);
        Assert.Equal(1, References(model));
    }

    [Fact]
    public void Create_ScoresOfNothing_ReleasesTheContext()
    {
        using ModelHandle model = Load();
        using ContextHandle context = Create(model);

        Assert.Throws<EdgeKVException>(() => ScoresHandle.Create(context, 0, NativeAggregates.Max));

        Assert.Equal(1, References(context));
    }

    [Fact]
    public void Dispose_ContextBeforeScores_LeavesTheScores()
    {
        using ModelHandle model = Load();
        ContextHandle context = Create(model);
        using ScoresHandle scores = ScoresHandle.Create(context, 3, NativeAggregates.Max);

        context.Dispose();

        Assert.Equal(0, References(context));
        float* data = NativeMethods.edgekv_scores_data(scores, NativeAggregates.Max);
        Assert.Equal(0f, data[0]);
        Assert.True(NativeMethods.edgekv_scores_data(scores, NativeAggregates.Sum) is null);
    }

    [Fact]
    public void Dispose_Sampler_ThrowsOnLateUse()
    {
        using ModelHandle model = Load();
        using ContextHandle context = Create(model);
        SamplerHandle sampler = SamplerHandle.Create(0, 0, 1, 0, 0);
        sampler.Dispose();
        sampler.Dispose();

        Assert.Throws<ObjectDisposedException>(() => NativeMethods.edgekv_sampler_sample(sampler, context, out _));
        Assert.Equal(1, References(context));
    }

    [Fact]
    public void Collect_ForgottenHandles_FreesModelAfterContext()
    {
        WeakReference<ModelHandle> forgotten = Forget();
        for (int i = 0; i < 10 && IsThere(forgotten); i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.False(IsThere(forgotten));

        // In methods of their own, so that no local of this one keeps a handle.
        [MethodImpl(MethodImplOptions.NoInlining)]
        static WeakReference<ModelHandle> Forget()
        {
            ModelHandle model = Load();
            _ = Create(model);
            return new WeakReference<ModelHandle>(model);
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        static bool IsThere(WeakReference<ModelHandle> handle) => handle.TryGetTarget(out _);
    }

    private static ModelHandle Load() => ModelHandle.Load(Places.Model, 0, memoryMap: true, null, CancellationToken.None);

    private static ContextHandle Create(ModelHandle model) => ContextHandle.Create(model, 64, 64, NativeType.F16, 1, offloadKv: true);

    private static NativeStatus Feed(ContextHandle context, int[] tokens)
    {
        fixed (int* pointer = tokens)
        {
            return NativeMethods.edgekv_decode(context, pointer, tokens.Length, NativeLogits.Last, null, null);
        }
    }

    /// <summary>References that a handle still has: its owner's, as long as it is open, and those of its children.</summary>
    private static int References(SafeHandle handle)
    {
        // The lowest two bits say closed and disposed.
        return State(handle) >> 2;

        [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_state")]
        static extern ref int State(SafeHandle handle);
    }
}
