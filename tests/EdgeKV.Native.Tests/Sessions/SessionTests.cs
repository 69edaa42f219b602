using EdgeKV.Engine;
using EdgeKV.Models;
using EdgeKV.Policies.Scorers;
using EdgeKV.Sessions;

namespace EdgeKV.Native.Tests;

/// <summary>Reading, asking, taking back; order of calls; what a session is like after something went wrong.</summary>
public sealed class SessionTests(ModelFixture fixture)
{
    private const string Question = "How tall is the lighthouse?";

    private static readonly KVCompose Policy = new() { Ratio = 0.5 };

    [Fact]
    public async Task PrefillAsync_Twice_IsRefused()
    {
        using EdgeSession session = await fixture.Reader();

        SessionStateException exception = await Assert.ThrowsAsync<SessionStateException>(() => session.PrefillAsync("More."));

        Assert.Contains("Clear", exception.Message, StringComparison.Ordinal);
        session.Clear();
        Assert.Equal(0, session.Position);
        await session.PrefillAsync(ModelFixture.Document);
        Assert.Contains("41", await ModelFixture.Answer(session, Question), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Calls_BeforePrefill_AreRefused()
    {
        using EdgeSession session = fixture.Model.CreateSession(ModelFixture.Options with { ContextSize = 256 });

        await Assert.ThrowsAsync<SessionStateException>(() => session.CompressAsync(Policy));
        await Assert.ThrowsAsync<SessionStateException>(() => session.ScoreAsync(Policy.Request));
        await Assert.ThrowsAsync<SessionStateException>(() => session.ApplyAsync(Planning.CompressionPlan.KeepAll(30, 3, 4)));
        await Assert.ThrowsAsync<SessionStateException>(() => session.SaveAsync(Path.Combine(Path.GetTempPath(), "edgekv-never")));
        Assert.Throws<ArgumentOutOfRangeException>(() => session.Rollback(1));
        await Assert.ThrowsAsync<ArgumentException>(() => session.PrefillAsync(ReadOnlyMemory<int>.Empty));
        Assert.False(session.Cache.IsCompact);

        // None of this did any harm.
        await session.PrefillAsync(ModelFixture.Document);
        Assert.Contains("41", await ModelFixture.Answer(session, Question), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Calls_WhileBusy_AreRefused()
    {
        using EdgeSession session = fixture.Model.CreateSession(ModelFixture.Options);
        TaskCompletionSource began = new();
        using ManualResetEventSlim release = new();
        Recorder recorder = new()
        {
            Then = _ =>
            {
                began.TrySetResult();
                release.Wait();
            },
        };

        Task prefill = session.PrefillAsync(ModelFixture.Document, recorder);
        await began.Task;

        SessionStateException exception = await Assert.ThrowsAsync<SessionStateException>(() => session.PrefillAsync("x"));
        Assert.Contains("busy (prefill)", exception.Message, StringComparison.Ordinal);
        Assert.Throws<SessionStateException>(() => session.Rollback(0));
        Task<CacheState> cache = Task.Run(() => session.Cache);
        await Assert.ThrowsAsync<SessionStateException>(() => ModelFixture.Answer(session, Question));
        release.Set();
        await prefill;

        // Looking at the cache is allowed meanwhile, and waits for the call that runs.
        Assert.Equal(session.Position, (await cache).Position);
        Assert.Contains("41", await ModelFixture.Answer(session, Question), StringComparison.Ordinal);
    }

    [Fact]
    public async Task PrefillAsync_Cancelled_StopsSoonAndCanBeRepeated()
    {
        string document = string.Concat(Enumerable.Repeat(ModelFixture.Document, 40));
        using EdgeSession session = fixture.Model.CreateSession(ModelFixture.Options);
        using CancellationTokenSource source = new();
        Task prefill = session.PrefillAsync(document, progress: null, source.Token);
        source.CancelAfter(TimeSpan.FromMilliseconds(300));

        long start = TimeProvider.System.GetTimestamp();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => prefill);

        // Some 2500 tokens take ten seconds and more.
        Assert.True(TimeProvider.System.GetElapsedTime(start) < TimeSpan.FromSeconds(2));
        Assert.Equal(0, session.Position);
        Assert.True(prefill.IsCanceled);
        await session.PrefillAsync(ModelFixture.Document);
        Assert.Contains("41", await ModelFixture.Answer(session, Question), StringComparison.Ordinal);
    }

    [Fact]
    public async Task PrefillAsync_CancelledBefore_DoesNotBegin()
    {
        using EdgeSession session = fixture.Model.CreateSession(ModelFixture.Options);

        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => session.PrefillAsync(ModelFixture.Document, null, new CancellationToken(canceled: true)));

        Assert.Equal(0, session.Position);
    }

    [Fact]
    public async Task PrefillAsync_ProgressThrows_PassesItOnAndCanBeRepeated()
    {
        using EdgeSession session = fixture.Model.CreateSession(ModelFixture.Options);
        Recorder recorder = new() { Failure = new InvalidTimeZoneException("no") };

        await Assert.ThrowsAsync<InvalidTimeZoneException>(() => session.PrefillAsync(ModelFixture.Document, recorder));

        Assert.Equal(0, session.Position);
        Recorder good = new();
        await session.PrefillAsync(ModelFixture.Document, good);
        Assert.Equal(1.0, good.Shares[^1], 6);
        Assert.Equal(good.Shares.Order(), good.Shares);
    }

    [Fact]
    public async Task Cancel_AtTheEndOfACall_DoesNotStopTheNextOne()
    {
        using EdgeSession session = fixture.Model.CreateSession(ModelFixture.Options);
        using CancellationTokenSource source = new();

        // Whether the call still notices is a matter of luck; the interrupt may come after its last step.
        Recorder last = new() { Then = share => CancelAtTheEnd(share, source) };
        await Task.WhenAny(session.PrefillAsync(ModelFixture.Document, last, source.Token));
        session.Clear();

        await session.PrefillAsync(ModelFixture.Document);
        Assert.Contains("41", await ModelFixture.Answer(session, Question), StringComparison.Ordinal);

        static void CancelAtTheEnd(double share, CancellationTokenSource source)
        {
            if (share >= 1)
            {
                source.Cancel();
            }
        }
    }

    [Fact]
    public async Task PrefillAsync_TooLong_SaysHowLongAndHowLongItMayBe()
    {
        using EdgeSession small = fixture.Model.CreateSession(ModelFixture.Options with { ContextSize = 256 });
        int[] tokens = new int[300];
        Array.Fill(tokens, 100);

        ContextWindowException exception = await Assert.ThrowsAsync<ContextWindowException>(() => small.PrefillAsync(tokens));

        Assert.Equal(300, exception.Length);
        Assert.Equal(256, exception.Limit);
        Assert.Contains("ContextSize", exception.Message, StringComparison.Ordinal);
        using EdgeSession free = fixture.Model.CreateSession(ModelFixture.Options);
        exception = await Assert.ThrowsAsync<ContextWindowException>(() => free.PrefillAsync(new int[9000]));
        Assert.Equal(9000, exception.Length);
        Assert.Equal(8192, exception.Limit);
        Assert.Equal(0, free.Position);
    }

    [Fact]
    public async Task PrefillAsync_TokenOutOfRange_LeavesTheSessionUsable()
    {
        using EdgeSession session = fixture.Model.CreateSession(ModelFixture.Options);

        EdgeKVException exception = await Assert.ThrowsAsync<EdgeKVException>(() => session.PrefillAsync(new[] { 1, 2, 1_000_000 }));

        Assert.Equal(NativeStatus.Argument, exception.NativeStatus);
        Assert.Equal(0, session.Position);
        await session.PrefillAsync(ModelFixture.Document);
    }

    [Fact]
    public void CreateSession_BadOptions_Throw()
    {
        ContextWindowException exception = Assert.Throws<ContextWindowException>(
            () => fixture.Model.CreateSession(new SessionOptions { ContextSize = 8193 }));
        Assert.Equal(8192, exception.Limit);
        Assert.Throws<ArgumentOutOfRangeException>(() => fixture.Model.CreateSession(new SessionOptions { ContextSize = -1 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => fixture.Model.CreateSession(new SessionOptions { BatchSize = 0 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => fixture.Model.CreateSession(new SessionOptions { Threads = -1 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => fixture.Model.CreateSession(new SessionOptions { Threads = SessionOptions.MostThreads + 1 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => fixture.Model.CreateSession(new SessionOptions { Threads = 1000 * Environment.ProcessorCount }));
    }

    [Fact]
    public async Task Decode_Tokens_GivesLogitsAndCanBeTakenBack()
    {
        using EdgeSession session = await fixture.Reader();
        int position = session.Position;
        int[] tokens = session.Model.TokenizeQuestion(Question);

        float[] logits = session.Decode(tokens).ToArray();

        Assert.Equal(session.Model.VocabularySize, logits.Length);
        Assert.Equal(position + tokens.Length, session.Position);
        session.Rollback(position);
        Assert.Equal(position, session.Position);
        Assert.Equal(logits, session.Decode(tokens).ToArray());
        session.Rollback(position);
        float[] all = session.Decode(tokens, allLogits: true).ToArray();
        Assert.Equal(all, session.Logits(tokens.Length - 1).ToArray());
        Assert.NotEqual(all, session.Logits(0).ToArray());
        Assert.Throws<SessionStateException>(() => session.Logits(tokens.Length).ToArray());
    }

    [Fact]
    public async Task Dispose_WhilePrefilling_StopsIt()
    {
        EdgeSession session = fixture.Model.CreateSession(ModelFixture.Options);
        TaskCompletionSource began = new();
        string document = string.Concat(Enumerable.Repeat(ModelFixture.Document, 40));
        Task prefill = session.PrefillAsync(document, new Recorder { Then = _ => began.TrySetResult() });
        await began.Task;

        long start = TimeProvider.System.GetTimestamp();
        session.Dispose();

        await Assert.ThrowsAsync<ObjectDisposedException>(() => prefill);
        Assert.True(TimeProvider.System.GetElapsedTime(start) < TimeSpan.FromSeconds(2));
    }

    [Fact]
    public async Task Dispose_WhileAnswering_EndsTheAnswer()
    {
        EdgeSession session = await fixture.Reader();

        await Assert.ThrowsAsync<ObjectDisposedException>(async () =>
        {
            await foreach (string _ in session.GenerateAsync(Question))
            {
                session.Dispose();
            }
        });
    }

    [Fact]
    public async Task Use_AfterDispose_Throws()
    {
        EdgeSession session = await fixture.Reader();
        session.Dispose();
        session.Dispose();

        await Assert.ThrowsAsync<ObjectDisposedException>(() => session.PrefillAsync("x"));
        await Assert.ThrowsAsync<ObjectDisposedException>(() => session.CompressAsync(Policy));
        await Assert.ThrowsAsync<ObjectDisposedException>(() => ModelFixture.Answer(session, Question));
        Assert.Throws<ObjectDisposedException>(() => session.Decode([1]).ToArray());
        Assert.Throws<ObjectDisposedException>(() => session.Rollback(0));
        Assert.Throws<ObjectDisposedException>(() => session.Cache);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => session.SaveAsync("x"));
    }

    [Fact]
    public async Task Dispose_ModelFirst_LeavesTheSessionsCacheAndRefusesItsTokenizer()
    {
        EdgeModel model = EdgeModel.Load(fixture.Model.Path);
        using EdgeSession session = model.CreateSession(ModelFixture.Options with { ContextSize = 512 });
        await session.PrefillAsync(ModelFixture.Document);

        model.Dispose();

        Assert.Equal(model.VocabularySize, session.Decode([100]).Length);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => ModelFixture.Answer(session, Question));
    }
}
