using EdgeKV.Engine;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Sessions;
using LLama.Native;

namespace EdgeKV.ModelTests.LLamaSharp;

/// <summary>A context that LLamaSharp made: its cache is taken over, or refused with the reason.</summary>
public sealed class AttachTests
{
    private const int Context = 100;

    [Fact]
    public void Attach_ParametersAsTheyCome_IsCompressedLikeASession()
    {
        int[] tokens = TinyModels.RandomTokens(Context + 8, 4);
        EngineOptions options = new(TinyModels.PathOf(TinyModel.Qwen2)) { ContextSize = 512, Threads = 1 };
        using EdgeModel model = options.Load();
        using EdgeSession expected = model.CreateSession(options.Session);
        CompressionPlan plan = Plans.Ragged(model.Geometry.KvHeads, Context, 5);
        expected.Kv!.Prefill(tokens.AsSpan(0, Context));
        expected.Kv!.Apply(plan);
        Logits logits = expected.Kv!.DecodeAll(tokens.AsSpan(Context));

        using Foreign foreign = Foreign.Tiny();
        using KvContext kv = KvContext.Attach(foreign.Context);
        Assert.Equal(DecodeResult.Ok, foreign.Decode(tokens.AsSpan(0, Context), 0));
        kv.Apply(plan);
        Assert.True(kv.State.IsCompact);
        for (int i = 0; i < logits.Tokens; i++)
        {
            Assert.Equal(DecodeResult.Ok, foreign.Decode(tokens.AsSpan(Context + i, 1), Context + i));
            Assert.InRange(Divergence.Of(logits[i], foreign.Context.NativeHandle.GetLogitsIth(0)), 0, 1e-5);
        }

        Assert.Equal(tokens, kv.State.Tokens.ToArray());
    }

    [Fact]
    public void Attach_WithoutFlashAttention_IsRefused()
    {
        using Foreign foreign = Foreign.Tiny(change: parameters => parameters.FlashAttention = false);
        UnsupportedModelException refusal = Assert.Throws<UnsupportedModelException>(() => KvContext.Attach(foreign.Context));
        Assert.Contains("flash attention", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Attach_SeveralStreams_IsRefused()
    {
        using Foreign foreign = Foreign.Tiny(change: parameters =>
        {
            parameters.SeqMax = 4;
            parameters.KVUnified = false;
        });
        UnsupportedModelException refusal = Assert.Throws<UnsupportedModelException>(() => KvContext.Attach(foreign.Context));
        Assert.Contains("streams", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Attach_CacheCannotBeCompact_IsRefusedByName()
    {
        using Foreign foreign = Foreign.Tiny(TinyModel.Gemma3);
        UnsupportedModelException refusal = Assert.Throws<UnsupportedModelException>(() => KvContext.Attach(foreign.Context));
        Assert.Contains("sliding", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Attach_Null_IsRefused() => Assert.Throws<ArgumentNullException>(() => KvContext.Attach(null!));

    [Fact]
    public void Attach_Twice_FindsTheSameState()
    {
        int[] tokens = TinyModels.RandomTokens(Context, 4);
        using Foreign foreign = Foreign.Tiny();
        KvContext first = KvContext.Attach(foreign.Context);
        foreign.Decode(tokens, 0);
        first.Apply(Plans.Ragged(first.Model.Geometry.KvHeads, Context, 5));
        CacheState before = first.State;
        first.Dispose();
        first.Dispose();
        Assert.Throws<ObjectDisposedException>(() => first.State);

        using KvContext second = KvContext.Attach(foreign.Context);
        CacheState after = second.State;
        Assert.Equal(before with { Tokens = default, RowBytes = [] }, after with { Tokens = default, RowBytes = [] });
        Assert.Equal(before.RowBytes, after.RowBytes);
        Assert.Equal(tokens, after.Tokens.ToArray());
        Assert.Same(first.Model, second.Model);
    }

    [Fact]
    public void Dispose_OfTheView_ChangesNothingForTheContext()
    {
        int[] tokens = TinyModels.RandomTokens(Context + 1, 4);
        using Foreign foreign = Foreign.Tiny();
        KvContext kv = KvContext.Attach(foreign.Context);
        foreign.Decode(tokens.AsSpan(0, Context), 0);
        kv.Apply(Plans.Ragged(kv.Model.Geometry.KvHeads, Context, 5));
        kv.Dispose();

        Assert.Equal(DecodeResult.Ok, foreign.Decode(tokens.AsSpan(Context), Context));
    }

    public static TheoryData<string> Orders => ["view context weights", "context weights view", "weights context view", "weights view context", "context view weights"];

    [Theory]
    [MemberData(nameof(Orders))]
    public async Task Dispose_InAnyOrderTwiceAndLate_GivesTypedErrors(string order)
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        Foreign foreign = Foreign.Tiny();
        KvContext kv = KvContext.Attach(foreign.Context);
        foreign.Decode(TinyModels.RandomTokens(Context, 4), 0);
        foreach (string part in $"{order} {order}".Split(' '))
        {
            switch (part)
            {
                case "view":
                    kv.Dispose();
                    break;
                case "context":
                    foreign.Context.Dispose();
                    break;
                default:
                    foreign.Weights.Dispose();
                    break;
            }
        }

        Assert.Throws<ObjectDisposedException>(() => kv.State);
        Assert.Throws<ObjectDisposedException>(() => kv.Position);
        Assert.Throws<ObjectDisposedException>(() => kv.Limit);
        Assert.Throws<ObjectDisposedException>(() => kv.Decode([1]));
        Assert.Throws<ObjectDisposedException>(() => kv.Logits());
        Assert.Throws<ObjectDisposedException>(() => kv.Rollback(0));
        Assert.Throws<ObjectDisposedException>(kv.Clear);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => Compression.KvContextCompression.CompressAsync(kv, Budget.FromRatio(0.5), cancellationToken: cancellation));
        Assert.Throws<ObjectDisposedException>(() => KvContext.Attach(foreign.Context));
    }

    [Fact]
    public void Dispose_OfTheContextAlone_MakesTheViewThrow()
    {
        using Foreign foreign = Foreign.Tiny();
        using KvContext kv = KvContext.Attach(foreign.Context);
        foreign.Context.Dispose();
        Assert.Throws<ObjectDisposedException>(() => kv.State);
        Assert.Throws<ObjectDisposedException>(() => kv.Decode([1]));
    }
}
