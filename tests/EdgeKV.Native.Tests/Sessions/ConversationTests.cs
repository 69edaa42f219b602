using EdgeKV.Compression;
using EdgeKV.Engine;
using EdgeKV.Generation;
using EdgeKV.Models;
using EdgeKV.Models.Chat;
using EdgeKV.Planning;
using EdgeKV.Policies.Scorers;
using EdgeKV.Sessions;

namespace EdgeKV.Native.Tests;

/// <summary>Conversations of several turns: where each question goes, what stays, and what the cache is meanwhile.</summary>
public sealed class ConversationTests(ModelFixture fixture)
{
    private const string Question = "How tall is the lighthouse?";
    private const string FollowUp = "And its colour?";

    private static readonly GenerationOptions Keep = new() { MaxTokens = 8, KeepTurn = true };

    private EdgeModel Model => fixture.Model;

    [Fact]
    public async Task GenerateAsync_WithoutADocument_ChatsInTheModelsTemplate()
    {
        using EdgeSession session = Model.CreateSession(ModelFixture.Options);

        AnswerResult first = await ModelFixture.Result(session, "Name a colour.", Keep);
        AnswerResult second = await ModelFixture.Result(session, "Another one.", Keep);

        Assert.Equal(
            Model.ApplyChatTemplate(
                [new("user", "Name a colour."), new("assistant", first.Text), new("user", "Another one.")], addAssistant: true) + second.Text,
            Text(session));
        Assert.Equal(ConversationTurn.Assistant, session.Cache.Turn);
    }

    [Fact]
    public async Task GenerateAsync_WithoutADocumentAndNotKept_LeavesTheSessionEmpty()
    {
        using EdgeSession session = Model.CreateSession(ModelFixture.Options);

        string first = await ModelFixture.Answer(session, "Name a colour.");

        Assert.Equal(0, session.Position);
        Assert.Equal(first, await ModelFixture.Answer(session, "Name a colour."));
        await session.PrefillAsync(ModelFixture.Document);
        Assert.Contains("41", await ModelFixture.Answer(session, Question), StringComparison.Ordinal);
    }

    [Fact]
    public async Task SystemPrompt_DocumentAndChat_TakesThePlaceOfTheTemplatesOwn()
    {
        SessionOptions options = ModelFixture.Options with { SystemPrompt = "Answer in one word." };
        using EdgeSession reader = Model.CreateSession(options);
        using EdgeSession chat = Model.CreateSession(options);

        await reader.PrefillAsync("A. ");
        await ModelFixture.Answer(reader, "B?", Keep with { MaxTokens = 1 });
        await ModelFixture.Answer(chat, "B?", Keep with { MaxTokens = 1 });

        ChatTurn system = new("system", "Answer in one word.");
        Assert.StartsWith(Model.ApplyChatTemplate([system, new("user", "A. B?")], addAssistant: true), Text(reader), StringComparison.Ordinal);
        Assert.StartsWith(Model.ApplyChatTemplate([system, new("user", "B?")], addAssistant: true), Text(chat), StringComparison.Ordinal);
    }

    public static TheoryData<string> Endings => ["<|im_end|>\n", "<|im_end|>"];

    [Theory]
    [MemberData(nameof(Endings))]
    public async Task GenerateAsync_AfterTokensThatEndInAClosedTurn_BeginsTheUsersTurn(string ending)
    {
        ChatTurn[] before = [new("user", "Name a colour."), new("assistant", "Red")];
        string text = Model.ApplyChatTemplate(before, addAssistant: false);
        int[] tokens = Model.Tokenize(text[..^"<|im_end|>\n".Length] + ending, parseSpecial: true);
        using EdgeSession session = Model.CreateSession(ModelFixture.Options);
        await session.PrefillAsync(tokens);
        Assert.Equal(ConversationTurn.Ended, session.Cache.Turn);

        AnswerResult answer = await ModelFixture.Result(session, "Another one.", Keep);

        string all = Model.ApplyChatTemplate([.. before, new("user", "Another one.")], addAssistant: true);
        Assert.Equal(all + answer.Text, Text(session));
        Assert.Equal(Model.Tokenize(all, parseSpecial: true).Length - tokens.Length, answer.PromptTokens);
    }

    [Fact]
    public async Task GenerateAsync_AfterPlainTokens_AddsNoHeader()
    {
        using EdgeSession session = Model.CreateSession(ModelFixture.Options);
        await session.PrefillAsync(Model.Tokenize("Once upon a time. "));

        Assert.Equal(ConversationTurn.Plain, session.Cache.Turn);
        Assert.Equal(Model.TokenizeQuestion(FollowUp).Length, (await ModelFixture.Result(session, FollowUp)).PromptTokens);
    }

    [Fact]
    public async Task Cache_InsideTheAnswersLoop_IsThatOfTheAnswerSoFar()
    {
        using EdgeSession session = await fixture.Reader();
        int start = session.Position;
        int prompt = Model.TokenizeQuestion(Question).Length;
        List<int> positions = [];

        await foreach (string _ in session.GenerateAsync(Question, new GenerationOptions { MaxTokens = 6 }))
        {
            CacheState cache = session.Cache;
            positions.Add(cache.Position);
            Assert.Equal(cache.Position, cache.Tokens.Length);
            Assert.Equal((long)Model.Geometry.KvHeads.Total * cache.Position, cache.Rows);
        }

        // The token that was picked last is fed when the next one is wanted.
        Assert.Equal(Enumerable.Range(start + prompt, positions.Count), positions);
        Assert.True(positions.Count > 2);
        Assert.Equal(start, session.Cache.Position);
    }

    [Fact]
    public async Task Cache_FullAndCompact_CountsItsRows()
    {
        using EdgeSession session = await fixture.Reader();
        int heads = Model.Geometry.KvHeads.Total;

        Assert.Equal((CacheLayout.Full, (long)heads * session.Position), (session.Cache.Layout, session.Cache.Rows));
        CompressionReport report = await session.CompressAsync(new KVCompose { Ratio = 0.5 });
        session.Decode([500, 501, 502]);

        Assert.Equal((CacheLayout.Compact, report.TotalRowsAfter + 3 * heads), (session.Cache.Layout, session.Cache.Rows));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task GenerateAsync_StoppedTwoWays_LeavesTheSameState(bool keepStopped)
    {
        GenerationOptions options = Keep with { MaxTokens = 20, KeepStopped = keepStopped };
        using EdgeSession session = await fixture.Reader();
        int start = session.Position;
        Answer left = session.GenerateAsync(Question, options);
        int pieces = 0;
        await foreach (string _ in left)
        {
            if (++pieces == 3)
            {
                break;
            }
        }

        int[] afterLeaving = session.Cache.Tokens.ToArray();
        string followUp = await ModelFixture.Answer(session, FollowUp);
        session.Rollback(start);
        using CancellationTokenSource source = new();
        Answer cancelled = session.GenerateAsync(Question, options, source.Token);
        pieces = 0;
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (string _ in cancelled)
            {
                if (++pieces == 3)
                {
                    await source.CancelAsync();
                }
            }
        });

        Assert.Equal(afterLeaving, session.Cache.Tokens.ToArray());
        Assert.Equal(keepStopped ? start + left.Result.PromptTokens + left.Result.Tokens.Count : start, session.Position);
        Assert.Equal((left.Result.Text, left.Result.FinishReason), (cancelled.Result.Text, cancelled.Result.FinishReason));
        Assert.Equal(FinishReason.Stopped, left.Result.FinishReason);
        Assert.Equal(followUp, await ModelFixture.Answer(session, FollowUp));
        Assert.Equal(keepStopped ? ConversationTurn.Assistant : ConversationTurn.User, session.Cache.Turn);
    }

    [Fact]
    public async Task CompressAsync_ConversationThatGrows_ShrinksAgainAndAgain()
    {
        using EdgeSession session = await fixture.Reader();
        int heads = Model.Geometry.KvHeads.Total;
        long rows = session.Cache.Rows;
        foreach (double ratio in (double[])[0.5, 0.6, 0.7])
        {
            await ModelFixture.Answer(session, Question, Keep);
            int position = session.Position;
            long before = session.Cache.Rows;

            CompressionReport report = await session.CompressAsync(Budget.FromRatio(ratio));

            // A ratio is of all tokens that were ever read.
            Assert.Equal(position, report.ContextTokens);
            Assert.InRange(report.RatioAchieved, ratio, ratio + 0.01);
            Assert.Equal(1 - report.TotalRowsAfter / ((double)heads * position), report.RatioAchieved, 1e-9);
            Assert.Equal(before, report.TotalRowsBefore);
            Assert.Equal((position, report.TotalRowsAfter), (session.Position, session.Cache.Rows));
            Assert.True(session.Cache.HasLearnedScores);
            Assert.True(report.TotalRowsAfter < before);
            rows = report.TotalRowsAfter;
        }

        Assert.NotEmpty(await ModelFixture.Answer(session, FollowUp, Keep));
    }

    private string Text(EdgeSession session) => Model.Detokenize(session.Cache.Tokens.Span, special: true);
}
