using EdgeKV.Generation;
using EdgeKV.Models;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.Native.Tests;

/// <summary>Reading, asking, taking back; order of calls; what a session is like after something went wrong.</summary>
public sealed class SessionTests(ModelFixture fixture)
{
    private const string Question = "How tall is the lighthouse?";

    private static readonly KVCompose Policy = new() { Ratio = 0.5 };

    [Fact]
    public async Task GenerateAsync_Twice_GivesTheSameAnswerAndTakesItBack()
    {
        using EdgeSession session = await fixture.Reader();
        int position = session.Position;

        string first = await ModelFixture.Answer(session, Question);
        string second = await ModelFixture.Answer(session, Question);

        Assert.Contains("41", first, StringComparison.Ordinal);
        Assert.Equal(first, second);
        Assert.Equal(position, session.Position);
        GenerationStatistics statistics = session.LastGeneration!;
        Assert.InRange(statistics.Tokens, 1, 8);
        Assert.True(statistics.PromptTokens > 5);
        Assert.True(statistics.TokensPerSecond > 0);
    }

    [Fact]
    public async Task GenerateAsync_KeepTurn_ContinuesTheConversation()
    {
        using EdgeSession session = await fixture.Reader();
        GenerationOptions keep = new() { MaxTokens = 8, KeepTurn = true };
        int position = session.Position;

        string first = await ModelFixture.Answer(session, Question, keep);
        int afterFirst = session.Position;
        await ModelFixture.Answer(session, "And its colour?", keep);

        Assert.NotEmpty(first);
        Assert.Equal(position + session.Model.TokenizeQuestion(Question).Length + 8, afterFirst);
        Assert.True(session.Position > afterFirst);
        int withHeader = session.Model.TokenizeQuestion("And its colour?", newTurn: true).Length;
        Assert.Equal(withHeader, session.LastGeneration!.PromptTokens);
        session.Rollback(position);
        await ModelFixture.Answer(session, "And its colour?");
        Assert.True(session.LastGeneration.PromptTokens < withHeader);
    }

    [Fact]
    public async Task GenerateAsync_LoopLeft_TakesTheTurnBack()
    {
        using EdgeSession session = await fixture.Reader();
        int position = session.Position;

        await foreach (string piece in session.GenerateAsync(Question))
        {
            Assert.NotEmpty(piece);
            break;
        }

        Assert.Equal(position, session.Position);
        Assert.Equal(StopReason.Stopped, session.LastGeneration!.StopReason);
        Assert.Contains("41", await ModelFixture.Answer(session, Question), StringComparison.Ordinal);
    }

    [Fact]
    public async Task GenerateAsync_Cancelled_TakesTheTurnBackAndGoesOn()
    {
        using EdgeSession session = await fixture.Reader();
        int position = session.Position;
        using CancellationTokenSource source = new();
        int pieces = 0;

        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (string _ in session.GenerateAsync(Question, cancellationToken: source.Token))
            {
                if (++pieces == 2)
                {
                    await source.CancelAsync();
                }
            }
        });

        Assert.Equal(2, pieces);
        Assert.Equal(position, session.Position);
        Assert.Contains("41", await ModelFixture.Answer(session, Question), StringComparison.Ordinal);
    }

    [Fact]
    public async Task GenerateAsync_Sampled_FollowsTheSeed()
    {
        using EdgeSession session = await fixture.Reader();
        GenerationOptions options = new() { MaxTokens = 10, Temperature = 3, TopK = 0, TopP = 1, MinP = 0, Seed = 7 };

        string first = await ModelFixture.Answer(session, Question, options);

        Assert.Equal(first, await ModelFixture.Answer(session, Question, options));
        Assert.NotEqual(first, await ModelFixture.Answer(session, Question, options with { Seed = 8 }));
    }

    [Fact]
    public async Task GenerateAsync_BadOptions_ThrowAtOnce()
    {
        using EdgeSession session = await fixture.Reader();

        Assert.Throws<ArgumentOutOfRangeException>(() => session.GenerateAsync(Question, new GenerationOptions { MaxTokens = 0 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => session.GenerateAsync(Question, new GenerationOptions { Temperature = -1 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => session.GenerateAsync(Question, new GenerationOptions { TopP = 0 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => session.GenerateAsync(Question, new GenerationOptions { MinP = float.NaN }));
    }

    [Fact]
    public async Task GenerateAsync_ManyTokens_AllocatesLittleMoreThanTheText()
    {
        using EdgeSession session = await fixture.Reader();
        GenerationOptions options = new() { MaxTokens = 30 };
        int[] prompt = session.Model.Tokenize("One, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve,");
        // The runtime and the test host allocate now and then as well: the quietest of several runs counts.
        (int few, long fewCharacters, long fewBytes) = await Count(session, prompt, options with { MaxTokens = 4 });
        (int many, long manyCharacters, long manyBytes) = await Count(session, prompt, options);

        // A string takes 22 bytes and two for each character, rounded up to a multiple of eight.
        long text = (many - few) * 30 + (manyCharacters - fewCharacters) * 2;
        Assert.True(many >= few + 20, $"{many} and {few} pieces");
        Assert.True(manyBytes - fewBytes <= text + 512, $"{manyBytes - fewBytes} bytes for {many - few} pieces, whose text takes {text}");
    }

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
        await Assert.ThrowsAsync<SessionStateException>(() => ModelFixture.Answer(session, Question));
        Assert.Throws<SessionStateException>(() => session.Save(Path.Combine(Path.GetTempPath(), "edgekv-never")));
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
        Assert.Throws<SessionStateException>(() => session.Cache);
        Assert.Throws<SessionStateException>(() => session.Rollback(0));
        await Assert.ThrowsAsync<SessionStateException>(() => ModelFixture.Answer(session, Question));
        release.Set();
        await prefill;
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
    public async Task Interrupt_BetweenCalls_DoesNotStopTheNextOne()
    {
        using EdgeSession session = await fixture.Reader();

        // As a cancellation that comes just after its call has ended.
        session.Handle!.Interrupt();

        Assert.Contains("41", await ModelFixture.Answer(session, Question), StringComparison.Ordinal);
        session.Handle.Interrupt();
        using AttentionScores scores = await session.ScoreAsync(new ScoreRequest(new TaskAttention(TaskSet.Question(Question), AttentionAggregate.Max)));
        Assert.Equal(session.Position, scores.Tokens);
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
        Assert.Throws<ObjectDisposedException>(() => session.Save("x"));
    }

    [Fact]
    public async Task Dispose_ModelFirst_LeavesTheSessionsCacheAndRefusesItsTokenizer()
    {
        EdgeModel model = EdgeModel.Load(Testing.Places.Model);
        using EdgeSession session = model.CreateSession(ModelFixture.Options with { ContextSize = 512 });
        await session.PrefillAsync(ModelFixture.Document);

        model.Dispose();

        Assert.Equal(model.VocabularySize, session.Decode([100]).Length);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => ModelFixture.Answer(session, Question));
    }

    private static async Task<(int Pieces, long Characters, long Bytes)> Count(EdgeSession session, int[] prompt, GenerationOptions options)
    {
        int pieces = 0;
        long characters = 0;
        long bytes = long.MaxValue;
        for (int i = 0; i < 4; i++)
        {
            pieces = 0;
            characters = 0;
            long before = GC.GetTotalAllocatedBytes(precise: true);

            // Without the test host's synchronisation context, whose posts allocate.
            await foreach (string piece in session.GenerateAsync(prompt, options).ConfigureAwait(false))
            {
                pieces++;
                characters += piece.Length;
            }

            bytes = Math.Min(bytes, GC.GetTotalAllocatedBytes(precise: true) - before);
        }

        return (pieces, characters, bytes);
    }
}
