using EdgeKV.Engine;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using LLama;
using LLama.Common;
using LLama.Exceptions;
using LLama.Native;

namespace EdgeKV.Native.Tests;

/// <summary>A failure that C# noticed is the native context's: LLamaSharp's calls and every view learn of it.</summary>
public sealed class FaultTests
{
    private const string Reason = "rows went to 100%s wrong places";

    [Fact]
    public async Task Fail_AttachedContext_StopsEveryCallUntilItIsCleared()
    {
        using EdgeModel model = EdgeModel.Load(Places.Model);
        using LLamaContext context = Create(model);
        KvContext kv = KvContext.Attach(context);
        KvContext other = KvContext.Attach(context);
        kv.Decode([1, 2, 3]);

        kv.Native.Fail(Reason);
        kv.Native.Fail("what came of it");

        foreach (KvContext view in (KvContext[])[kv, other])
        {
            foreach (Func<object> call in (Func<object>[])
            [
                () => view.State,
                () => view.Position,
                () => view.Decode([4]).Length,
                () => { view.Rollback(0); return 0; },
                () => KvContext.Attach(context),
            ])
            {
                SessionStateException failure = Assert.Throws<SessionStateException>(call);
                Assert.Contains(Reason, failure.Message, StringComparison.Ordinal);
            }
        }

        Assert.NotEqual(DecodeResult.Ok, Decode(context, 3));
        await Assert.ThrowsAsync<LLamaDecodeError>(async () =>
        {
            await foreach (string _ in new InteractiveExecutor(context).InferAsync(
                "a", new InferenceParams { MaxTokens = 2 }, TestContext.Current.CancellationToken))
            {
            }
        });

        kv.Clear();
        Assert.Equal(0, kv.Position);
        Assert.Equal(DecodeResult.Ok, Decode(context, 0));
        Assert.Equal([5], kv.State.Tokens.ToArray());
    }

    [Fact]
    public void Fail_DisposedContext_IsNothing()
    {
        using EdgeModel model = EdgeModel.Load(Places.Model);
        LLamaContext context = Create(model);
        NativeContext native = KvContext.Attach(context).Native;
        context.Dispose();

        native.Fail(Reason);

        Assert.Throws<ObjectDisposedException>(native.ThrowIfFailed);
    }

    private static DecodeResult Decode(LLamaContext context, int position)
    {
        LLamaBatch batch = new();
        batch.Add(5, position, LLamaSeqId.Zero, true);
        return context.Decode(batch);
    }

    private static LLamaContext Create(EdgeModel model) =>
        model.Weights.CreateContext(new ModelParams(model.Path) { ContextSize = 64, BatchSize = 64, UBatchSize = 64, Threads = 1, BatchThreads = 1 });
}
