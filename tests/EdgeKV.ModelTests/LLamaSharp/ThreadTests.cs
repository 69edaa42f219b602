using EdgeKV.Compression;
using EdgeKV.Engine;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using LLama.Native;

namespace EdgeKV.ModelTests.LLamaSharp;

/// <summary>Several threads at one context: they take turns, or are told that it is busy.</summary>
public sealed class ThreadTests
{
    private static readonly TimeSpan Moment = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Compress_WhileAnotherThreadDecodes_WaitsItsTurn()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        const int Context = 300;
        int[] tokens = TinyModels.RandomTokens(Context + 400, 4);
        using Foreign foreign = Foreign.Tiny(change: parameters => parameters.ContextSize = 1024);
        using KvContext kv = KvContext.Attach(foreign.Context);
        foreign.Decode(tokens.AsSpan(0, Context), 0);
        using CancellationTokenSource stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        int position = Context;
        Task decoding = Task.Run(
            () =>
            {
                while (!stop.IsCancellationRequested && position < tokens.Length)
                {
                    Assert.Equal(DecodeResult.Ok, foreign.Decode(tokens.AsSpan(position, 1), position));
                    position++;
                }
            },
            cancellation);

        List<CompressionReport> reports = [];
        for (int i = 1; i <= 4; i++)
        {
            reports.Add(await kv.CompressAsync(new StreamingLLM { Ratio = 0.2 * i }, cancellationToken: cancellation));
        }

        await stop.CancelAsync();
        await decoding;
        Assert.Equal(position, kv.Position);
        Assert.Equal(tokens[..position], kv.State.Tokens.ToArray());
        Assert.Equal(reports.Select(report => report.ContextTokens).Order(), reports.Select(report => report.ContextTokens));
        Assert.InRange(reports[^1].RatioAchieved, 0.79, 0.82);
    }

    [Fact]
    public async Task Calls_WhileAnotherThreadHasTheContext_WaitOrSayThatItIsBusy()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        int[] tokens = TinyModels.RandomTokens(100, 4);
        using Foreign foreign = Foreign.Tiny();
        using KvContext waiting = KvContext.Attach(foreign.Context);
        using KvContext impatient = KvContext.Attach(foreign.Context, new AttachOptions { WaitForContext = false });
        foreign.Decode(tokens, 0);
        using Holder holder = new(waiting);

        Task<DecodeResult> decode = Task.Run(() => foreign.Decode([1], 100), cancellation);
        Task<CompressionReport> compress = waiting.CompressAsync(new Knorm { Ratio = 0.5 }, cancellationToken: cancellation);
        Assert.Throws<ContextBusyException>(() => impatient.State);
        Assert.Throws<ContextBusyException>(() => { impatient.Decode([1]); });
        await Task.Delay(Moment, cancellation);
        Assert.False(decode.IsCompleted);
        Assert.False(compress.IsCompleted);

        holder.Dispose();
        Assert.Equal(DecodeResult.Ok, await decode.WaitAsync(Patience, cancellation));
        Assert.InRange((await compress.WaitAsync(Patience, cancellation)).ContextTokens, 100, 101);
        Assert.Equal(101, impatient.Position);
    }

    [Fact]
    public async Task CompressAsync_WithoutWaiting_SaysThatTheContextIsBusy()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using Foreign foreign = Foreign.Tiny();
        using KvContext kv = KvContext.Attach(foreign.Context, new AttachOptions { WaitForContext = false });
        foreign.Decode(TinyModels.RandomTokens(100, 4), 0);
        using (new Holder(kv))
        {
            Task<CompressionReport> compress = kv.CompressAsync(new Knorm { Ratio = 0.5 }, cancellationToken: cancellation);
            await Assert.ThrowsAsync<ContextBusyException>(() => compress.WaitAsync(Patience, cancellation));
        }

        Assert.Equal(100, kv.Position);
        Assert.False(kv.State.IsCompact);
    }

    [Fact]
    public async Task Dispose_OfTheContextWhileItIsCompressed_EndsInATypedErrorOrTheReport()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        for (int i = 0; i < 8; i++)
        {
            Foreign foreign = Foreign.Tiny();
            KvContext kv = KvContext.Attach(foreign.Context);
            foreign.Decode(TinyModels.RandomTokens(300, 4), 0);
            Task<CompressionReport> compress = kv.CompressAsync(
                new GlobalRanking(new TaskScorer()) { Ratio = 0.5 }, cancellationToken: cancellation);
            await Task.Delay(i, cancellation);
            foreign.Dispose();
            try
            {
                await compress.WaitAsync(Patience, cancellation);
            }
            catch (ObjectDisposedException)
            {
                // The context went first.
            }

            Assert.Throws<ObjectDisposedException>(() => kv.State);
        }
    }

    /// <summary>A thread that holds a context's lock until this is disposed.</summary>
    private sealed class Holder : IDisposable
    {
        private readonly ManualResetEventSlim _release = new();
        private readonly Thread _thread;

        public Holder(KvContext context)
        {
            using ManualResetEventSlim held = new();
            _thread = new Thread(() =>
            {
                using (context.Enter())
                {
                    held.Set();
                    _release.Wait(Patience);
                }
            });
            _thread.Start();
            Assert.True(held.Wait(Patience));
        }

        public void Dispose()
        {
            _release.Set();
            _thread.Join();
        }
    }
}
