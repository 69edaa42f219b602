using EdgeKV.Compression;
using EdgeKV.Generation;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using EdgeKV.Reading;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.ModelTests;

/// <summary>Dropping rows while a document is read.</summary>
public sealed class ReadingTests
{
    private const int Tokens = 1500;

    private static readonly ScoreRequest LearnedScores = new(new Learned());
    private static readonly GlobalRanking Tenth = new(new LearnedScorer()) { Budget = Budget.FromRatio(0.9) };

    private static readonly ReadingOptions Chunks = new() { ChunkTokens = 200, KeepLatest = 40, Room = 64 };

    public static TheoryData<TinyModel, KvCacheType> Models =>
    [
        .. TinyModels.Supported.Select(model => (model, KvCacheType.F16)),
        (TinyModel.LlamaGrouped, KvCacheType.Q8_0),
        (TinyModel.LlamaOddHead, KvCacheType.Q4_0),
    ];

    public static TheoryData<TinyModel> LongAndShort => [TinyModel.LlamaGrouped, TinyModel.LlamaLongRope];

    [Theory]
    [MemberData(nameof(Models))]
    public async Task Read_InChunks_KeepsThePlanOfItsOwnScoresWithinTheBound(TinyModel tiny, KvCacheType type)
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(tiny));
        using EdgeSession session = model.CreateSession(new SessionOptions { Profile = RandomProfile.Of(model, 1), CacheType = type });
        int heads = model.Geometry.KvHeads.Total;

        CompressionReport report = await session.CompressWhileReadingAsync(
            TinyModels.RandomTokens(Tokens, 3), Tenth, Chunks, cancellationToken: cancellation);

        using AttentionScores scores = await session.ScoreAsync(LearnedScores, cancellationToken: cancellation);
        CompressionPlan afterwards = Tenth.Plan(scores);
        Assert.Equal(afterwards, session.Kv!.KeptPlan());
        Assert.Equal(afterwards.TotalRows, report.TotalRowsAfter);
        Assert.Equal((long)heads * Tokens, report.TotalRowsBefore);
        Assert.Equal(Tokens, report.ContextTokens);
        Assert.Equal(Tokens, session.Position);
        Assert.Equal(session.Cache.Bytes, report.BytesAfter);

        // The full cache has whole blocks of 256 cells; a compact KV head is rounded up to less than 64 rows.
        const int Rounding = 64;
        long bound = Math.Max(
            256L * heads, afterwards.TotalRows + heads * ((long)Chunks.ChunkTokens + Chunks.KeepLatest + Rounding)) * report.RowBytes[0];
        Assert.NotNull(report.PeakBytes);
        Assert.InRange(report.PeakBytes.Value, report.BytesAfter, bound);
        Assert.True(report.PeakBytes < report.BytesBefore / 2);
        Assert.Equal(model.VocabularySize, session.Decode([5]).Length);
    }

    [Theory]
    [MemberData(nameof(LongAndShort))]
    public async Task Read_EveryRowKept_AnswersAsTheFullCache(TinyModel tiny)
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        int[] tokens = TinyModels.RandomTokens(Tokens, 4);
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(tiny));
        SessionOptions options = new() { Profile = RandomProfile.Of(model, 1), CacheType = KvCacheType.F32, Threads = 1 };
        using EdgeSession full = model.CreateSession(options);
        await full.PrefillAsync(tokens, cancellationToken: cancellation);
        using EdgeSession read = model.CreateSession(options);

        await read.CompressWhileReadingAsync(tokens, Tenth with { Ratio = 0 }, Chunks, cancellationToken: cancellation);

        Assert.Equal(CompressionPlan.KeepAll(model.Geometry.KvHeads, Tokens), read.Kv!.KeptPlan());
        double difference = Difference(full.Decode([7]), read.Decode([7]));
        Assert.InRange(difference, 0, 0.1);
    }

    [Fact]
    public async Task Read_OneChunk_IsCompressAsyncBitForBit()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        int[] tokens = TinyModels.RandomTokens(400, 5);
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.Qwen2));
        SessionOptions options = new() { Profile = RandomProfile.Of(model, 1), Threads = 1 };
        using EdgeSession after = model.CreateSession(options);
        await after.PrefillAsync(tokens, cancellationToken: cancellation);
        CompressionReport expected = await after.CompressAsync(Tenth, cancellationToken: cancellation);
        using EdgeSession meanwhile = model.CreateSession(options);

        CompressionReport report = await meanwhile.CompressWhileReadingAsync(tokens, Tenth, cancellationToken: cancellation);

        Assert.Equal(after.Kv!.KeptPlan(), meanwhile.Kv!.KeptPlan());
        Assert.Equal(after.Decode([5, 6, 7]).ToArray(), meanwhile.Decode([5, 6, 7]).ToArray());
        Assert.Equal(expected.BytesAfter, report.BytesAfter);
        Assert.Equal(expected.RoomAfter, report.RoomAfter);
        Assert.Equal((expected.Policy, expected.RatioAsked, expected.RatioAchieved), (report.Policy, report.RatioAsked, report.RatioAchieved));
        Assert.Null(expected.PeakBytes);
    }

    [Fact]
    public async Task Read_Saved_GoesOnAfterLoading()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        string path = Path.Combine(Places.Cache, $"reading-{Environment.ProcessId}.state");
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.Qwen3));
        SessionOptions options = new() { Profile = RandomProfile.Of(model, 1), Threads = 1 };
        using EdgeSession session = model.CreateSession(options);
        await session.CompressWhileReadingAsync(TinyModels.RandomTokens(Tokens, 6), Tenth, Chunks, cancellationToken: cancellation);
        try
        {
            await session.SaveAsync(path, cancellation);
            using EdgeSession loaded = model.CreateSession(options);
            await loaded.LoadAsync(path, cancellation);

            Assert.Equal(Tokens, loaded.Position);
            Assert.Equal(session.Kv!.KeptPlan(), loaded.Kv!.KeptPlan());
            Assert.InRange(Difference(session.Decode([5, 6, 7]), loaded.Decode([5, 6, 7])), 0, 1e-3);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2048)]
    public async Task Read_Cancelled_LeavesTheSessionEmptyAndOfUse(int contextSize)
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        int[] tokens = TinyModels.RandomTokens(Tokens, 7);
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.Qwen2));
        using EdgeSession session = model.CreateSession(
            new SessionOptions { Profile = RandomProfile.Of(model, 1), ContextSize = contextSize, BatchSize = 64 });
        int limit = session.Limit;
        using CancellationTokenSource stop = new();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => session.CompressWhileReadingAsync(
            tokens, Tenth, Chunks, new Stopper(stop, 0.6), stop.Token));

        Assert.Equal(0, session.Position);
        Assert.False(session.Cache.IsCompact);
        Assert.Equal(limit, session.Limit);

        // Longer than one chunk's cache could hold.
        await session.PrefillAsync(tokens, cancellationToken: cancellation);
        Assert.Equal(Tokens, session.Position);
        session.Clear();
        CompressionReport report = await session.CompressWhileReadingAsync(tokens, Tenth, Chunks, cancellationToken: cancellation);
        Assert.InRange(report.RatioAchieved, 0.9, 0.901);
        session.Clear();
        Assert.Equal(limit, session.Limit);
        await session.PrefillAsync(tokens, cancellationToken: cancellation);
        Assert.Equal((long)model.Geometry.KvHeads.Total * Tokens, (await session.CompressAsync(Tenth, cancellationToken: cancellation)).TotalRowsBefore);
    }

    [Fact]
    public async Task Read_WhatCannotBe_IsRefusedAndTheSessionStaysOfUse()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        int[] tokens = TinyModels.RandomTokens(Tokens, 8);
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.Qwen2));
        using EdgeSession plain = model.CreateSession();
        using EdgeSession session = model.CreateSession(new SessionOptions { Profile = RandomProfile.Of(model, 1) });

        SessionStateException noProfile = await Assert.ThrowsAsync<SessionStateException>(
            () => plain.CompressWhileReadingAsync(tokens, Tenth, cancellationToken: cancellation));
        PlanException pass = await Assert.ThrowsAsync<PlanException>(
            () => session.CompressWhileReadingAsync(tokens, Tenth with { Scorer = new SumScorer(new TaskScorer(), new LearnedScorer()) }, cancellationToken: cancellation));
        PlanException bytes = await Assert.ThrowsAsync<PlanException>(
            () => session.CompressWhileReadingAsync(tokens, Tenth with { Budget = Budget.FromBytes(1000) }, cancellationToken: cancellation));
        ContextWindowException window = await Assert.ThrowsAsync<ContextWindowException>(
            () => session.CompressWhileReadingAsync(TinyModels.RandomTokens(model.Window + 1, 1), Tenth, cancellationToken: cancellation));

        Assert.Contains("profile", noProfile.Message, StringComparison.Ordinal);
        Assert.Contains("need the whole context", pass.Message, StringComparison.Ordinal);
        Assert.Contains("too small", bytes.Message, StringComparison.Ordinal);
        Assert.Equal(model.Window, window.Limit);
        Assert.Throws<ArgumentOutOfRangeException>(
            () => { _ = session.CompressWhileReadingAsync(tokens, Tenth, Chunks with { ChunkTokens = 0 }); });
        await session.CompressWhileReadingAsync(tokens, Tenth, Chunks, cancellationToken: cancellation);
        SessionStateException twice = await Assert.ThrowsAsync<SessionStateException>(
            () => session.CompressWhileReadingAsync(tokens, Tenth, cancellationToken: cancellation));
        Assert.Contains($"{Tokens} tokens already", twice.Message, StringComparison.Ordinal);
        Assert.Equal(Tokens, session.Position);
    }

    [Fact]
    public async Task Read_ContextSize_DoesNotBoundTheDocument()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.Qwen2));
        using EdgeSession session = model.CreateSession(new SessionOptions { Profile = RandomProfile.Of(model, 1), ContextSize = 512 });

        await session.CompressWhileReadingAsync(TinyModels.RandomTokens(Tokens, 9), Tenth, Chunks, cancellationToken: cancellation);

        Assert.Equal((Tokens, model.Window), (session.Position, session.Limit));
    }

    [Fact]
    public async Task Read_BudgetInBytes_IsKeptInTheEnd()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        using EdgeSession session = model.CreateSession(new SessionOptions { Profile = RandomProfile.Of(model, 1) });
        long bytes = model.KvBytesPerToken(KvCacheType.F16) * 300;

        CompressionReport report = await session.CompressWhileReadingAsync(
            TinyModels.RandomTokens(Tokens, 10), Tenth with { Budget = Budget.FromBytes(bytes) }, Chunks, cancellationToken: cancellation);

        Assert.InRange(report.BytesAfter, bytes * 9 / 10, bytes);
    }

    [Fact]
    public async Task Read_TheShippedProfile_AnswersFromAFifth()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using EdgeModel model = EdgeModel.Load(Places.Model);
        using EdgeSession session = model.CreateSession(new SessionOptions { Threads = Math.Min(2, SessionOptions.MostThreads) });
        int[] tokens = model.TokenizeDocument(await File.ReadAllTextAsync(Places.Document, cancellation) + "\n\n");

        CompressionReport report = await session.CompressWhileReadingAsync(
            tokens, new GlobalRanking(new LearnedScorer()) { Ratio = 0.8 }, new ReadingOptions { ChunkTokens = 256 }, cancellationToken: cancellation);

        using AttentionScores scores = await session.ScoreAsync(LearnedScores, cancellationToken: cancellation);
        Assert.Equal(new GlobalRanking(new LearnedScorer()) { Ratio = 0.8 }.Plan(scores), session.Kv!.KeptPlan());
        Assert.True(report.PeakBytes < report.BytesBefore / 2);
        string answer = "";
        await foreach (string piece in session.GenerateAsync(
            "What is the frequency of the wireless?", new GenerationOptions { MaxTokens = 24 }, cancellation))
        {
            answer += piece;
        }

        Assert.Contains("2187", answer, StringComparison.Ordinal);
    }

    // The largest difference of two logits.
    private static double Difference(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual)
    {
        double largest = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            largest = Math.Max(largest, Math.Abs(expected[i] - actual[i]));
        }

        return largest;
    }

    // Asks to stop when a share has been read.
    private sealed class Stopper(CancellationTokenSource stop, double share) : IProgress<double>
    {
        public void Report(double value)
        {
            if (value >= share)
            {
                stop.Cancel();
            }
        }
    }
}
