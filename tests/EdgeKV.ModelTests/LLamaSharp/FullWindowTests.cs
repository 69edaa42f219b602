using EdgeKV.Compression;
using EdgeKV.Engine;
using EdgeKV.Generation;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Policies.Scorers;
using LLama;
using LLama.Common;
using LLama.Exceptions;
using LLama.Sampling;

namespace EdgeKV.ModelTests.LLamaSharp;

/// <summary>An InteractiveExecutor whose context comes to its ContextSize, with a compression between two of its calls.</summary>
public sealed class FullWindowTests
{
    private const uint Cells = 512;
    private const string Question = "<|im_end|>\n<|im_start|>user\nTell me more about it.<|im_end|>\n<|im_start|>assistant\n";

    [Theory]
    [InlineData(ContextOverflowStrategy.ThrowException)]
    [InlineData(ContextOverflowStrategy.TruncateAndReprefill)]
    public async Task InferAsync_CompressedAndPastTheContextSize_EndsInLLamaSharpsError(ContextOverflowStrategy strategy)
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using Foreign foreign = Foreign.Of(Places.Model, Cells);
        using KvContext kv = KvContext.Attach(foreign.Context);
        InteractiveExecutor executor = await Reader(foreign, kv, cancellation);
        await kv.CompressAsync(new SnapKV { Ratio = 0.5 }, cancellationToken: cancellation);
        InferenceParams options = Options(strategy);

        await Assert.ThrowsAsync<ContextOverflowException>(() => Infer(executor, options, cancellation));

        // What the cache has is what the executor thinks that it has, and EdgeKV's own answers go on in the same context.
        Assert.InRange(kv.Position, (int)Cells - 2, (int)Cells);
        Assert.Equal(kv.Position, executor.GetStateData().PastTokensCount);
        Answer more = kv.GenerateAsync("And what else?", new GenerationOptions { MaxTokens = 20, KeepTurn = true }, cancellation);
        await foreach (string _ in more)
        {
        }

        Assert.True(kv.Position > Cells);
    }

    [Fact]
    public async Task InferAsync_RerotatedAndToldOfThePosition_GoesOnPastTheContextSize()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using Foreign foreign = Foreign.Of(Places.Model, Cells);
        using KvContext kv = KvContext.Attach(foreign.Context);
        InteractiveExecutor executor = await Reader(foreign, kv, cancellation);
        int read = kv.Position;
        await kv.CompressAsync(new SnapKV { Ratio = 0.5 }, new CompressOptions { Rerotate = true }, cancellationToken: cancellation);
        Assert.Equal(read / 2, kv.Position, 2.0);

        StatefulExecutorBase.ExecutorBaseState state = executor.GetStateData();
        state.PastTokensCount = kv.Position;
        await executor.LoadState(state, cancellation);
        int pieces = await Infer(executor, Options(ContextOverflowStrategy.ThrowException), cancellation);

        // The model ends its turn by itself; without the new positions there would have been room for fewer.
        Assert.True(pieces > Cells - read, $"{pieces} pieces");
        Assert.True(kv.Position < Cells);
    }

    [Fact]
    public async Task InferAsync_RerotatedAndNotToldOfThePosition_IsRefused()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using Foreign foreign = Foreign.Of(Places.Model, Cells);
        using KvContext kv = KvContext.Attach(foreign.Context);
        InteractiveExecutor executor = await Reader(foreign, kv, cancellation);
        await kv.CompressAsync(new SnapKV { Ratio = 0.5 }, new CompressOptions { Rerotate = true }, cancellationToken: cancellation);
        int position = kv.Position;

        await Assert.ThrowsAsync<LLamaDecodeError>(() => Infer(executor, Options(ContextOverflowStrategy.ThrowException), cancellation));

        Assert.Equal(position, kv.Position);
    }

    /// <summary>An executor that has read 420 tokens of the document.</summary>
    private static async Task<InteractiveExecutor> Reader(Foreign foreign, KvContext kv, CancellationToken cancellation)
    {
        InteractiveExecutor executor = new(foreign.Context);
        int[] tokens = kv.Model.TokenizeDocument(await File.ReadAllTextAsync(Places.Document, cancellation));
        await executor.PrefillPromptAsync(kv.Model.Detokenize(tokens.AsSpan(..420), special: true), cancellation);
        return executor;
    }

    private static InferenceParams Options(ContextOverflowStrategy strategy) => new()
    {
        MaxTokens = 150,
        SamplingPipeline = new GreedySamplingPipeline(),
        OverflowStrategy = strategy,
    };

    private static async Task<int> Infer(InteractiveExecutor executor, InferenceParams options, CancellationToken cancellation)
    {
        int pieces = 0;
        await foreach (string _ in executor.InferAsync(Question, options, cancellation))
        {
            pieces++;
        }

        return pieces;
    }
}
