using System.Text;
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
    private const int Answer = 150;
    private const string Question = "<|im_end|>\n<|im_start|>user\nTell me more about it.<|im_end|>\n<|im_start|>assistant\n";

    [Theory]
    [InlineData(ContextOverflowStrategy.ThrowException)]
    [InlineData(ContextOverflowStrategy.TruncateAndReprefill)]
    public async Task InferAsync_CompressedAndPastTheContextSize_AnswersAsASessionDoes(ContextOverflowStrategy strategy)
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using Foreign foreign = Foreign.Of(Places.Model, Cells);
        using KvContext kv = KvContext.Attach(foreign.Context);
        InteractiveExecutor executor = await Reader(foreign, kv, cancellation);
        Assert.Equal(Cells, foreign.Context.ContextSize);
        await kv.CompressAsync(new SnapKV { Ratio = 0.5 }, cancellationToken: cancellation);
        Assert.Equal((uint)kv.Limit, foreign.Context.ContextSize);

        // The same tokens in a context of its own, with the same plan, past the same cells.
        using Foreign other = Foreign.Of(Places.Model, Cells);
        using KvContext session = KvContext.Attach(other.Context);
        await Reader(other, session, cancellation);
        await session.CompressAsync(new SnapKV { Ratio = 0.5 }, cancellationToken: cancellation);
        int[] question = session.Model.Tokenize(Question, parseSpecial: true);
        _ = session.Decode(question).Length;
        IReadOnlyList<int> expected = Greedy.Continue(session, Answer, cancellationToken: cancellation);

        (string text, int pieces) = await Infer(executor, Options(strategy), cancellation);

        Assert.True(kv.Position > Cells, $"{kv.Position} tokens");
        Assert.Equal(kv.Position, executor.GetStateData().PastTokensCount);

        // The executor counts its last tokens in another way and stops a little earlier.
        Assert.True(pieces > Answer / 2, $"{pieces} pieces");
        Assert.StartsWith(text, session.Model.Detokenize([.. expected]), StringComparison.Ordinal);
    }

    [Fact]
    public async Task InferAsync_CompressedAndAtTheWindow_EndsInLLamaSharpsError()
    {
        const uint Window = 512;
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        string path = Path.GetTempFileName();
        try
        {
            new GgufEditor(TinyModels.PathOf(TinyModel.Qwen2)).Set("qwen2.context_length", Window).Write(path);
            using Foreign foreign = Foreign.Of(path, Window / 2);
            using KvContext kv = KvContext.Attach(foreign.Context);
            InteractiveExecutor executor = new(foreign.Context);
            await executor.PrefillPromptAsync(new string('7', 200), cancellation);
            await kv.CompressAsync(new SnapKV { Ratio = 0.5 }, cancellationToken: cancellation);
            InferenceParams options = Options(ContextOverflowStrategy.ThrowException);
            options.MaxTokens = (int)Window;

            await Assert.ThrowsAsync<ContextOverflowException>(() => Infer(executor, options, cancellation));

            // What the cache has is what the executor thinks that it has, and a context that was emptied has the cells again that it was made with.
            Assert.InRange(kv.Position, (int)Window - 2, (int)Window);
            Assert.Equal(kv.Position, executor.GetStateData().PastTokensCount);
            kv.Clear();
            Assert.Equal(Window / 2, foreign.Context.ContextSize);
        }
        finally
        {
            File.Delete(path);
        }
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
        (_, int pieces) = await Infer(executor, Options(ContextOverflowStrategy.ThrowException), cancellation);

        Assert.True(pieces > 0);
        Assert.True(kv.Position < read + pieces);
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
        MaxTokens = Answer,
        SamplingPipeline = new GreedySamplingPipeline(),
        OverflowStrategy = strategy,
    };

    private static async Task<(string Text, int Pieces)> Infer(InteractiveExecutor executor, InferenceParams options, CancellationToken cancellation)
    {
        StringBuilder text = new();
        int pieces = 0;
        await foreach (string piece in executor.InferAsync(Question, options, cancellation))
        {
            text.Append(piece);
            pieces++;
        }

        return (text.ToString(), pieces);
    }
}
