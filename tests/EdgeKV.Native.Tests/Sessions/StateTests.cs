using EdgeKV.Compression;
using EdgeKV.Engine;
using EdgeKV.Generation;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Models.Chat;
using EdgeKV.Planning;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using EdgeKV.Sessions;

namespace EdgeKV.Native.Tests;

/// <summary>What a session is like after its state was cleared, saved, loaded, or refused.</summary>
public sealed class StateTests(ModelFixture fixture) : IDisposable
{
    private const string Question = "How tall is the lighthouse?";
    private const string FollowUp = "And its colour?";

    private static readonly GenerationOptions Keep = new() { MaxTokens = 8, KeepTurn = true };

    private static readonly SessionOptions Tiny = new() { Threads = 1 };

    private readonly string _folder = Directory.CreateTempSubdirectory("edgekv-states-").FullName;

    private string File => Path.Combine(_folder, "state");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task Clear_AfterCompression_TakesALongerDocument()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        using EdgeSession session = model.CreateSession(Tiny);
        using EdgeSession fresh = model.CreateSession(Tiny);
        int[] longer = TinyModels.RandomTokens(2600, 2);
        await session.PrefillAsync(TinyModels.RandomTokens(100, 1));
        await session.CompressAsync(new StreamingLLM { Ratio = 0.5 });

        session.Clear();
        Assert.False(session.Cache.IsCompact);
        Assert.Equal(0, session.Cache.Rows);
        await session.PrefillAsync(longer);
        await fresh.PrefillAsync(longer);

        Assert.Equal((fresh.Limit, fresh.Cache.Bytes), (session.Limit, session.Cache.Bytes));
        Assert.Equal(fresh.Logits().ToArray(), session.Logits().ToArray());
        CompressionReport report = await session.CompressAsync(new Knorm { Ratio = 0.5 }, new CompressOptions { Merge = true });
        Assert.True(report.MergedRows > 0);
    }

    [Fact]
    public async Task Clear_AfterCompressionWithAGivenSize_EndsAnswersWhenTheCacheIsFull()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        using EdgeSession session = model.CreateSession(Tiny with { ContextSize = 256 });
        await session.PrefillAsync(TinyModels.RandomTokens(100, 1));
        await session.CompressAsync(new StreamingLLM { Ratio = 0.5 });
        Assert.Equal(model.Window, session.Limit);

        session.Clear();
        Assert.Equal(256, session.Limit);
        await session.PrefillAsync(TinyModels.RandomTokens(240, 2));

        AnswerResult result = await Continue(session, 3, 200);
        Assert.Equal((FinishReason.WindowFull, 256 - 243), (result.FinishReason, result.Tokens.Count));
    }

    [Fact]
    public async Task ContextSize_NoMultipleOfTheCells_BoundsTheAnswer()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        using EdgeSession session = model.CreateSession(Tiny with { ContextSize = 620 });
        await session.PrefillAsync(TinyModels.RandomTokens(600, 1));
        Assert.Equal(620, session.Limit);

        AnswerResult result = await Continue(session, 5, 200, keep: true);

        Assert.Equal((FinishReason.WindowFull, 15), (result.FinishReason, result.Tokens.Count));
        Assert.Equal(620, session.Position);
        ContextWindowException error = Assert.Throws<ContextWindowException>(() => session.Decode([1]).Length);
        Assert.Equal(620, error.Limit);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task SaveAsync_ConversationWithTurns_GoesOnTheSameAfterLoading(bool compress)
    {
        using EdgeSession session = await fixture.Reader();
        if (compress)
        {
            await session.CompressAsync(Budget.FromRatio(0.5));
        }

        await ModelFixture.Answer(session, Question, Keep);
        await session.SaveAsync(File);
        using EdgeSession loaded = fixture.Model.CreateSession(ModelFixture.Options);
        await loaded.LoadAsync(File);

        Assert.Equal(session.Cache.Tokens.ToArray(), loaded.Cache.Tokens.ToArray());
        Assert.Equal(ConversationTurn.Assistant, loaded.Cache.Turn);
        foreach (string question in (string[])[FollowUp, "Who opened the harbour?", "What does the winner receive?"])
        {
            AnswerResult there = await ModelFixture.Result(session, question);
            AnswerResult here = await ModelFixture.Result(loaded, question);
            Assert.Equal(fixture.Model.TokenizeQuestion(question, newTurn: true).Length, here.PromptTokens);
            Assert.Equal(there.Tokens, here.Tokens);
        }
    }

    [Fact]
    public async Task SaveAsync_ClosedUpPositions_KnowsWhoseTurnItIsAfterLoading()
    {
        using EdgeSession session = await fixture.Reader();
        await ModelFixture.Answer(session, Question, Keep);
        await session.CompressAsync(new SnapKV { Window = 8, Ratio = 0.3 }, new CompressOptions { Rerotate = true });
        Assert.Equal(ConversationTurn.Assistant, session.Cache.Turn);

        // KV heads keep rows of different tokens, except those of the window.
        int[] tokens = session.Cache.Tokens.ToArray();
        Assert.Contains(CacheState.UnknownToken, tokens);
        Assert.DoesNotContain(CacheState.UnknownToken, tokens[^8..]);
        await session.SaveAsync(File);
        using EdgeSession loaded = fixture.Model.CreateSession(ModelFixture.Options);
        await loaded.LoadAsync(File);

        AnswerResult there = await ModelFixture.Result(session, FollowUp);
        AnswerResult here = await ModelFixture.Result(loaded, FollowUp);
        Assert.Equal(fixture.Model.TokenizeQuestion(FollowUp, newTurn: true).Length, there.PromptTokens);
        Assert.Equal(there.PromptTokens, here.PromptTokens);
        Assert.Equal(there.Tokens, here.Tokens);
    }

    [Fact]
    public async Task SaveAsync_Stream_IsWhatTheFileHas()
    {
        using EdgeSession session = await fixture.Reader();
        using MemoryStream stream = new();
        stream.WriteByte(7);
        await session.SaveAsync(stream);
        await session.SaveAsync(File);

        Assert.Equal(await System.IO.File.ReadAllBytesAsync(File), stream.ToArray()[1..]);
        using EdgeSession loaded = fixture.Model.CreateSession(ModelFixture.Options);
        stream.Position = 1;
        await loaded.LoadAsync(stream);
        Assert.Equal(session.Cache.Tokens.ToArray(), loaded.Cache.Tokens.ToArray());
        Assert.Equal(stream.Length, stream.Position);
    }

    [Fact]
    public async Task LoadAsync_DamagedStates_AreRefusedInEdgeKVsWords()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        using EdgeSession session = model.CreateSession(Tiny);
        await session.PrefillAsync(TinyModels.RandomTokens(40, 1));
        using MemoryStream saved = new();
        await session.SaveAsync(saved);
        byte[] good = saved.ToArray();
        int header = BitConverter.ToInt32(good, 12);

        // In the magic, the version, the length of the header, the header, the token ids, the rows, the sum.
        (int Index, string Words)[] flips =
        [
            (0, "not a saved session"), (8, "version"), (15, "damaged"), (16, "damaged"), (16 + header / 2, "damaged"), (16 + header + 9, "damaged"),
            (good.Length / 2, "damaged"), (good.Length - 40, "damaged"), (good.Length - 1, "damaged"),
        ];
        foreach ((int index, string words) in flips)
        {
            byte[] bad = [.. good];
            bad[index] ^= 0x40;
            await Refused(bad, words);
        }

        foreach (int length in (int[])[0, 5, 12, 16 + header, 16 + header + 4 * 40, good.Length / 2, good.Length - 1])
        {
            await Refused(good[..length], "damaged");
        }

        string stock = Path.Combine(_folder, "stock");
        session.Context!.SaveState(stock);
        await Refused(await System.IO.File.ReadAllBytesAsync(stock), "not a saved session");

        async Task Refused(byte[] bytes, string words)
        {
            await System.IO.File.WriteAllBytesAsync(File, bytes);
            EdgeKVException error = await Assert.ThrowsAsync<EdgeKVException>(() => session.LoadAsync(File));
            Assert.StartsWith($"{File}: ", error.Message, StringComparison.Ordinal);
            Assert.Contains(words, error.Message, StringComparison.Ordinal);
            Assert.DoesNotContain("magic", error.Message, StringComparison.Ordinal);

            // A view of the context is asked alone: nothing is cleared before the state is known to be good.
            using EdgeSession reader = model.CreateSession(Tiny);
            await reader.PrefillAsync(TinyModels.RandomTokens(30, 2));
            float[] before = reader.Decode([7]).ToArray();
            await Assert.ThrowsAsync<EdgeKVException>(() => reader.Kv!.LoadAsync(File));
            reader.Rollback(30);
            Assert.Equal(before, reader.Decode([7]).ToArray());
        }
    }

    [Fact]
    public async Task LoadAsync_StatesOfOtherCaches_AreRefusedWithTheReason()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        using EdgeModel other = EdgeModel.Load(TinyModels.PathOf(TinyModel.Qwen2));
        using EdgeSession session = model.CreateSession(Tiny);
        await session.PrefillAsync(TinyModels.RandomTokens(300, 1));
        await session.SaveAsync(File);

        using EdgeSession another = other.CreateSession(Tiny);
        Assert.Contains("another model", (await Assert.ThrowsAsync<EdgeKVException>(() => another.LoadAsync(File))).Message, StringComparison.Ordinal);
        using EdgeSession rounded = model.CreateSession(Tiny with { CacheType = KvCacheType.Q8_0 });
        Assert.Contains("another cache type", (await Assert.ThrowsAsync<EdgeKVException>(() => rounded.LoadAsync(File))).Message, StringComparison.Ordinal);
        using EdgeSession small = model.CreateSession(Tiny with { ContextSize = 256 });
        ContextWindowException error = await Assert.ThrowsAsync<ContextWindowException>(() => small.LoadAsync(File));
        Assert.Equal((300, 256), (error.Length, error.Limit));
        Assert.Equal(0, small.Position);
        await small.PrefillAsync(TinyModels.RandomTokens(20, 1));
    }

    [Fact]
    public async Task CompressAsync_TwiceByLearnedScores_KeepsWhatOnceKeeps()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped));
        SessionOptions options = Tiny with { Profile = RandomProfile.Of(model, 1) };
        int[] tokens = TinyModels.RandomTokens(200, 3);
        using EdgeSession twice = model.CreateSession(options);
        using EdgeSession once = model.CreateSession(options);
        await twice.PrefillAsync(tokens);
        await once.PrefillAsync(tokens);

        await twice.CompressAsync(new GlobalRanking(new LearnedScorer()) { Ratio = 0.4 });
        await twice.SaveAsync(File);
        CompressionReport second = await twice.CompressAsync(new GlobalRanking(new LearnedScorer()) { Ratio = 0.8 });
        CompressionReport first = await once.CompressAsync(new GlobalRanking(new LearnedScorer()) { Ratio = 0.8 });

        Assert.Equal("learned", second.Scores!.Name);
        Assert.Equal(first.RowsAfter, second.RowsAfter);
        Assert.Equal(first.RatioAchieved, second.RatioAchieved);
        Assert.Equal(once.Decode([7]).ToArray(), twice.Decode([7]).ToArray());

        // The same from a file: scores of rows that stay are saved with them.
        using EdgeSession loaded = model.CreateSession(options);
        await loaded.LoadAsync(File);
        Assert.Equal(first.RowsAfter, (await loaded.CompressAsync(new GlobalRanking(new LearnedScorer()) { Ratio = 0.8 })).RowsAfter);
    }

    private static async Task<AnswerResult> Continue(EdgeSession session, int prompt, int most, bool keep = false)
    {
        Answer answer = session.GenerateAsync(TinyModels.RandomTokens(prompt, 9), new GenerationOptions { MaxTokens = most, KeepTurn = keep });
        await foreach (string _ in answer)
        {
        }

        return answer.Result;
    }
}
