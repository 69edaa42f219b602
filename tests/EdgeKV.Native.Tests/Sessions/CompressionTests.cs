using EdgeKV.Compression;
using EdgeKV.Engine;
using EdgeKV.Generation;
using EdgeKV.Models;
using EdgeKV.Numerics;
using EdgeKV.Planning;
using EdgeKV.Policies.Scorers;
using EdgeKV.Sessions;

namespace EdgeKV.Native.Tests;

/// <summary>Compressing and what can be done afterwards.</summary>
public sealed class CompressionTests(ModelFixture fixture)
{
    private const string Question = "How tall is the lighthouse?";

    // From half of the rows the answer is a longer sentence on some processors ("The answer to this question is: 41."); it is read to its end.
    private static readonly GenerationOptions Sentence = new() { MaxTokens = 24 };

    [Fact]
    public async Task CompressAsync_HalfOfTheRows_ReportsWhatIsThereAndStillAnswers()
    {
        using EdgeSession session = await fixture.Reader();
        int position = session.Position;
        List<CompressionProgress> stages = [];

        CompressionReport report = await session.CompressAsync(
            new KVCompose { Ratio = 0.5 }, new CompressOptions { Room = 64, MeasureTokens = 4 }, new Collector(stages));

        int heads = session.Model.Geometry.KvHeads.Total;
        CacheState cache = session.Cache;
        Assert.Equal(position, report.ContextTokens);
        Assert.Equal((long)heads * position, report.TotalRowsBefore);
        Assert.Equal(CompressionRatio.Keep((long)session.Model.Layers * position, 0.5) * session.Model.Geometry.KvHeads[0], report.TotalRowsAfter);
        Assert.Equal(cache.Rows, report.TotalRowsAfter);
        Assert.Equal(0.5, report.RatioAsked);
        Assert.InRange(report.RatioAchieved, 0.5, 0.51);
        Assert.True(report.IsComposite);
        Assert.All(report.RowBytes, bytes => Assert.Equal(256, bytes));
        Assert.Equal(cache.Bytes, report.BytesAfter);
        Assert.Equal(cache.Bytes, Enumerable.Range(0, 30).Sum(report.LayerBytesAfter));
        Assert.All(report.RoomAfter, room => Assert.InRange(room, 64, 64 + 8));
        Assert.True(report.BytesAfter < report.BytesBefore);
        Assert.True(report.Prefill > TimeSpan.Zero && report.Scoring > TimeSpan.Zero && report.Applying > TimeSpan.Zero);
        Assert.True(report.TokensPerSecondBefore > 0 && report.TokensPerSecondAfter > 0);
        Assert.True(cache.IsCompact);
        Assert.Equal(position, cache.ContextTokens);
        Assert.Equal(position, session.Position);
        Assert.Equal(
            [CompressionStage.Measuring, CompressionStage.Scoring, CompressionStage.Planning, CompressionStage.Applying, CompressionStage.Measuring],
            stages.Select(stage => stage.Stage).Aggregate(new List<CompressionStage>(), Runs));
        Assert.Contains("41", await ModelFixture.Answer(session, Question, Sentence), StringComparison.Ordinal);
        Assert.Contains("41", await ModelFixture.Answer(session, Question, Sentence), StringComparison.Ordinal);
        Assert.Equal(position, session.Position);
        Assert.True(session.Limit == session.Model.Window);
    }

    [Fact]
    public async Task CompressAsync_CancelledWhileTheCompactCacheIsMeasured_ReportsTheCompression()
    {
        using EdgeSession session = await fixture.Reader();
        using CancellationTokenSource source = new();
        CompressionReport report = await session.CompressAsync(
            new KVCompose { Ratio = 0.5 }, new CompressOptions { MeasureTokens = 8 }, new AfterRewriting(source), source.Token);

        Assert.True(source.IsCancellationRequested);
        Assert.True(session.Cache.IsCompact);
        Assert.Null(report.TokensPerSecondAfter);
        Assert.NotNull(report.TokensPerSecondBefore);
    }

    [Theory]
    [InlineData(100_000, 0, true)]
    [InlineData(int.MaxValue, 0, false)]
    [InlineData(0, int.MaxValue, false)]
    public async Task CompressAsync_RoomAboveTheWindow_IsRefusedAndTheCacheIsWhole(int room, int align, bool merge)
    {
        using EdgeSession session = await fixture.Reader();
        EdgeKVException refusal = await Assert.ThrowsAsync<EdgeKVException>(
            () => session.CompressAsync(new KVCompose { Ratio = 0.5 }, new CompressOptions { Room = room, Align = align, Merge = merge }));
        Assert.Contains("window", refusal.Message, StringComparison.Ordinal);
        Assert.False(session.Cache.IsCompact);
        Assert.NotEmpty(await ModelFixture.Answer(session, Question));
    }

    [Fact]
    public async Task CompressAsync_AgainstCompactRows_IsRefusedWithTheReason()
    {
        using EdgeSession session = await fixture.Reader();
        await session.CompressAsync(new KVCompose { Ratio = 0.5 });

        SessionStateException exception = await Assert.ThrowsAsync<SessionStateException>(() => session.CompressAsync(new KVCompose { Ratio = 0.8 }));

        Assert.Contains("compact", exception.Message, StringComparison.Ordinal);
        Assert.Throws<SessionStateException>(() => session.Rollback(3));
        Assert.NotEmpty(await ModelFixture.Answer(session, Question));
    }

    [Fact]
    public async Task CompressAsync_BudgetInBytes_StaysWithinIt()
    {
        foreach (KvCacheType type in (KvCacheType[])[KvCacheType.F16, KvCacheType.Q8_0])
        {
            using EdgeSession session = await fixture.Reader(ModelFixture.Options with { CacheType = type });

            long bytes = (session.Position * 6 / 10 + 32) * session.Model.KvBytesPerToken(type);

            CompressionReport report = await session.CompressAsync(
                new KVCompose { Budget = Budget.FromBytes(bytes) }, new CompressOptions { Room = 32 });

            Assert.InRange(report.BytesAfter, bytes * 8 / 10, bytes);
        }
    }

    [Fact]
    public async Task CompressAsync_Cancelled_LeavesTheFullCache()
    {
        using EdgeSession session = await fixture.Reader();
        int position = session.Position;
        string before = await ModelFixture.Answer(session, Question);
        using CancellationTokenSource source = new();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => session.CompressAsync(
            new KVCompose { Ratio = 0.5 }, progress: new Canceller(source, CompressionStage.Planning), cancellationToken: source.Token));

        Assert.False(session.Cache.IsCompact);
        Assert.Equal(position, session.Position);
        Assert.Equal(before, await ModelFixture.Answer(session, Question));
    }

    [Fact]
    public async Task CompressAsync_PolicyThrows_LeavesTheFullCache()
    {
        using EdgeSession session = await fixture.Reader();

        await Assert.ThrowsAsync<PlanException>(() => session.CompressAsync(new KVCompose { Budget = Budget.FromBytes(1) }));

        Assert.False(session.Cache.IsCompact);
        Assert.Contains("41", await ModelFixture.Answer(session, Question), StringComparison.Ordinal);
    }

    [Fact]
    public async Task ApplyAsync_PlanForAnotherContext_IsRefused()
    {
        using EdgeSession session = await fixture.Reader();

        await Assert.ThrowsAsync<PlanException>(() => session.ApplyAsync(CompressionPlan.KeepAll(30, 3, session.Position - 1)));
        await Assert.ThrowsAsync<PlanException>(() => session.ApplyAsync(CompressionPlan.KeepAll(29, 3, session.Position)));

        Assert.False(session.Cache.IsCompact);
    }

    [Fact]
    public async Task ApplyAsync_KeepAllWithLlamaCppsKernel_GivesTheSameAnswer()
    {
        // The same sums in the same order: another kernel's last digits are enough for this model's rounded activations to choose other words.
        using EdgeSession session = await fixture.Reader(ModelFixture.Options with { Attention = AttentionKernel.LlamaCpp });
        string before = await ModelFixture.Answer(session, Question);

        CompressionReport report = await session.ApplyAsync(CompressionPlan.KeepAll(30, 3, session.Position));

        Assert.Equal(0, report.RatioAchieved);
        Assert.Null(report.RatioAsked);
        Assert.Equal(before, await ModelFixture.Answer(session, Question));
    }

    [Fact]
    public async Task SaveAndLoad_CompactCache_AnswersTheSame()
    {
        string path = Path.GetTempFileName();
        try
        {
            using EdgeSession session = await fixture.Reader();
            await session.CompressAsync(new KVCompose { Ratio = 0.5 });
            string before = await ModelFixture.Answer(session, Question);
            await session.SaveAsync(path);

            using EdgeSession other = fixture.Model.CreateSession(ModelFixture.Options);
            await other.LoadAsync(path);

            Assert.Equal(session.Position, other.Position);
            Assert.True(other.Cache.IsCompact);
            Assert.Equal(session.Cache.Rows, other.Cache.Rows);
            Assert.Equal(before, await ModelFixture.Answer(other, Question));
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public async Task Load_DamagedOrMissingFile_LeavesTheSessionAsItWas()
    {
        string path = Path.GetTempFileName();
        try
        {
            using EdgeSession session = await fixture.Reader();
            await session.SaveAsync(path);
            byte[] bytes = File.ReadAllBytes(path);
            File.WriteAllBytes(path, bytes[..(bytes.Length / 2)]);

            int position = session.Position;

            await Assert.ThrowsAsync<EdgeKVException>(() => session.LoadAsync(path));
            await Assert.ThrowsAsync<EdgeKVException>(() => session.LoadAsync(path + ".missing"));

            Assert.Equal(position, session.Position);
            Assert.Contains("41", await ModelFixture.Answer(session, Question), StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public async Task Clear_CompactCache_ReadsAgain()
    {
        using EdgeSession session = await fixture.Reader();
        await session.CompressAsync(new KVCompose { Ratio = 0.5 });

        session.Clear();
        await session.PrefillAsync(ModelFixture.Document);
        await session.CompressAsync(new KVCompose { Ratio = 0.5 });

        Assert.Contains("41", await ModelFixture.Answer(session, Question, Sentence), StringComparison.Ordinal);
    }

    private static List<CompressionStage> Runs(List<CompressionStage> runs, CompressionStage stage)
    {
        if (runs.Count == 0 || runs[^1] != stage)
        {
            runs.Add(stage);
        }

        return runs;
    }

    private sealed class Collector(List<CompressionProgress> stages) : IProgress<CompressionProgress>
    {
        public void Report(CompressionProgress value) => stages.Add(value);
    }

    private sealed class AfterRewriting(CancellationTokenSource source) : IProgress<CompressionProgress>
    {
        private bool _applied;

        public void Report(CompressionProgress value)
        {
            _applied |= value.Stage == CompressionStage.Applying;
            if (_applied && value.Stage == CompressionStage.Measuring)
            {
                source.Cancel();
            }
        }
    }

    private sealed class Canceller(CancellationTokenSource source, CompressionStage stage) : IProgress<CompressionProgress>
    {
        public void Report(CompressionProgress value)
        {
            if (value.Stage == stage)
            {
                source.Cancel();
            }
        }
    }
}
