using EdgeKV.Compression;
using EdgeKV.Engine;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Policies.Scorers;
using LLama;
using LLama.Common;
using LLama.Exceptions;
using LLama.Native;
using LLama.Sampling;

namespace EdgeKV.ModelTests.LLamaSharp;

/// <summary>LLamaSharp's SaveState, LoadState and memory calls on attached contexts, and what becomes of those whose results it drops.</summary>
public sealed class StateTests : IDisposable
{
    private const int Context = 200;

    private readonly string _path = Path.Combine(Places.Cache, $"llamasharp-{Guid.NewGuid():n}.state");

    public void Dispose() => File.Delete(_path);

    [Fact]
    public void SaveState_OfACompactContext_GoesOnTokenForToken()
    {
        int[] tokens = TinyModels.RandomTokens(Context + 24, 4);
        using Foreign saved = Foreign.Tiny();
        using KvContext kv = KvContext.Attach(saved.Context);
        saved.Decode(tokens.AsSpan(0, Context), 0);
        kv.Apply(Plans.Ragged(kv.Model.Geometry.KvHeads, Context, 5));
        saved.Decode(tokens.AsSpan(Context, 8), Context);
        saved.Context.SaveState(_path);

        using LLamaContext context = saved.Another(TinyModels.PathOf(TinyModel.Qwen2));
        using KvContext loaded = KvContext.Attach(context);
        context.LoadState(_path);

        CacheState state = loaded.State;
        Assert.True(state.IsCompact);
        Assert.Equal(Context + 8, state.Position);
        Assert.Equal(kv.State.Bytes, state.Bytes);
        Assert.Equal(kv.KeptPlan(), loaded.KeptPlan());
        Assert.All(state.Tokens.ToArray(), token => Assert.Equal(CacheState.UnknownToken, token));
        for (int i = Context + 8; i < tokens.Length; i++)
        {
            saved.Decode(tokens.AsSpan(i, 1), i);
            Assert.Equal(DecodeResult.Ok, Foreign.Decode(context, tokens.AsSpan(i, 1), i));
            Assert.Equal(saved.Context.NativeHandle.GetLogitsIth(0).ToArray(), context.NativeHandle.GetLogitsIth(0).ToArray());
        }
    }

    [Fact]
    public void SaveState_OfAFullAttachedContext_IsStocksByteForByte()
    {
        int[] tokens = TinyModels.RandomTokens(Context, 4);
        using Foreign attached = Foreign.Tiny();
        using KvContext kv = KvContext.Attach(attached.Context);
        using Foreign plain = Foreign.Tiny();
        attached.Decode(tokens, 0);
        plain.Decode(tokens, 0);
        attached.Context.SaveState(_path);
        byte[] bytes = File.ReadAllBytes(_path);
        plain.Context.SaveState(_path);

        Assert.Equal(File.ReadAllBytes(_path), bytes);
    }

    [Theory]
    [InlineData((GGMLType)30)] // BF16, which LLamaSharp does not name.
    [InlineData(GGMLType.GGML_TYPE_F16)]
    public async Task SaveAsync_OfAnyElementType_IsLoadedByAContextOfTheSame(GGMLType type)
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        int[] tokens = TinyModels.RandomTokens(Context + 1, 4);
        void OfType(ModelParams parameters) => (parameters.TypeK, parameters.TypeV) = (type, type);
        using Foreign saved = Foreign.Tiny(change: OfType);
        using KvContext kv = KvContext.Attach(saved.Context);
        saved.Decode(tokens.AsSpan(0, Context), 0);
        await kv.SaveAsync(_path, cancellation);

        using Foreign other = Foreign.Tiny(change: OfType);
        using KvContext loaded = KvContext.Attach(other.Context);
        await loaded.LoadAsync(_path, cancellation);

        Assert.Equal(tokens[..Context], loaded.State.Tokens.ToArray());
        saved.Decode(tokens.AsSpan(Context), Context);
        other.Decode(tokens.AsSpan(Context), Context);
        Assert.Equal(saved.Context.NativeHandle.GetLogitsIth(0).ToArray(), other.Context.NativeHandle.GetLogitsIth(0).ToArray());
    }

    [Fact]
    public async Task LoadState_Refused_MarksTheContextAsFailedUntilItIsCleared()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using Foreign foreign = Foreign.Tiny();
        using KvContext kv = KvContext.Attach(foreign.Context);
        foreign.Decode(TinyModels.RandomTokens(Context, 4), 0);
        foreign.Context.SaveState(_path);
        byte[] bytes = File.ReadAllBytes(_path);
        await File.WriteAllBytesAsync(_path, bytes[..(bytes.Length / 2)], cancellation);

        foreign.Context.LoadState(_path);

        await AssertFailedAsync(foreign, kv, "state");
        kv.Clear();
        Works(foreign, kv);
    }

    [Fact]
    public async Task MemorySequenceRemove_InsideKeptRows_MarksTheContextAsFailedUntilItIsCleared()
    {
        using Foreign foreign = Foreign.Tiny();
        using KvContext kv = KvContext.Attach(foreign.Context);
        foreign.Decode(TinyModels.RandomTokens(Context, 4), 0);
        kv.Apply(Plans.Ragged(kv.Model.Geometry.KvHeads, Context, 5));

        foreign.Context.NativeHandle.MemorySequenceRemove(LLamaSeqId.Zero, 10, 20);

        await AssertFailedAsync(foreign, kv, "kept");
        foreign.Context.NativeHandle.MemoryClear();
        Works(foreign, kv);
    }

    [Fact]
    public void MemorySequenceRemove_BehindKeptRows_RollsBack()
    {
        int[] tokens = TinyModels.RandomTokens(Context + 8, 4);
        using Foreign foreign = Foreign.Tiny();
        using KvContext kv = KvContext.Attach(foreign.Context);
        foreign.Decode(tokens.AsSpan(0, Context), 0);
        kv.Apply(Plans.Ragged(kv.Model.Geometry.KvHeads, Context, 5));
        foreign.Decode(tokens.AsSpan(Context), Context);
        float[] logits = [.. foreign.Context.NativeHandle.GetLogitsIth(7)];

        foreign.Context.NativeHandle.MemorySequenceRemove(LLamaSeqId.Zero, Context, -1);

        Assert.Equal(Context, kv.Position);
        Assert.Equal(tokens[..Context], kv.State.Tokens.ToArray());
        foreign.Decode(tokens.AsSpan(Context), Context);
        Assert.Equal(logits, foreign.Context.NativeHandle.GetLogitsIth(7).ToArray());
    }

    [Fact]
    public void MemoryClear_OfACompactContext_MakesTheCacheFullAgain()
    {
        int[] tokens = TinyModels.RandomTokens(Context, 4);
        using Foreign foreign = Foreign.Tiny();
        using KvContext kv = KvContext.Attach(foreign.Context);
        CacheState before = kv.State;
        foreign.Decode(tokens, 0);
        kv.Apply(Plans.Ragged(kv.Model.Geometry.KvHeads, Context, 5));

        foreign.Context.NativeHandle.MemoryClear();

        CacheState after = kv.State;
        Assert.False(after.IsCompact);
        Assert.Equal((0, 0, 0L), (after.Position, after.ContextTokens, after.Rows));
        Assert.Equal((before.Bytes, before.Limit, before.ContextSize), (after.Bytes, after.Limit, after.ContextSize));
        Assert.Equal((uint)after.ContextSize, foreign.Context.ContextSize);
        foreign.Decode(tokens, 0);
        Assert.Equal(tokens, kv.State.Tokens.ToArray());
    }

    private static async Task AssertFailedAsync(Foreign foreign, KvContext kv, string reason)
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        foreach (Func<Task> call in (Func<Task>[])
        [
            () => Task.FromResult(kv.State),
            () => Task.FromResult(kv.Position),
            () => { kv.Decode([1]); return Task.CompletedTask; },
            () => { kv.Rollback(0); return Task.CompletedTask; },
            () => kv.CompressAsync(new Knorm { Ratio = 0.5 }, cancellationToken: cancellation),
            () => kv.ScoreAsync(new Knorm().Request, cancellationToken: cancellation),
            () => kv.SaveAsync(new MemoryStream(), cancellation),
        ])
        {
            SessionStateException failure = await Assert.ThrowsAsync<SessionStateException>(call);
            Assert.Contains(reason, failure.Message, StringComparison.Ordinal);
        }

        Assert.NotEqual(DecodeResult.Ok, foreign.Decode([1], Context));
        InteractiveExecutor executor = new(foreign.Context);
        await Assert.ThrowsAsync<LLamaDecodeError>(async () =>
        {
            await foreach (string _ in executor.InferAsync("a", new InferenceParams { MaxTokens = 2, SamplingPipeline = new GreedySamplingPipeline() }, cancellation))
            {
            }
        });
    }

    private static void Works(Foreign foreign, KvContext kv)
    {
        int[] tokens = TinyModels.RandomTokens(Context, 4);
        Assert.Equal(0, kv.Position);
        Assert.Equal(DecodeResult.Ok, foreign.Decode(tokens, 0));
        Assert.Equal(tokens, kv.State.Tokens.ToArray());
        kv.Apply(Plans.Ragged(kv.Model.Geometry.KvHeads, Context, 5));
        Assert.Equal(DecodeResult.Ok, foreign.Decode([1], Context));
    }
}
