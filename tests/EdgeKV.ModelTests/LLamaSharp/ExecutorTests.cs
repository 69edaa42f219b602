using EdgeKV.Compression;
using EdgeKV.Engine;
using EdgeKV.Generation;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using EdgeKV.Sessions;
using LLama;
using LLama.Batched;
using LLama.Common;
using LLama.Native;
using LLama.Sampling;
using LLama.Transformers;

namespace EdgeKV.ModelTests.LLamaSharp;

/// <summary>LLamaSharp's executors over the bundled model and document, compressed under their hands: what the facade gives with the same plan, token for token.</summary>
public sealed class ExecutorTests
{
    private const uint Cells = 3072;
    // The executor counts the tokens of the question among them.
    private const int Tokens = 64;
    private const string Question = "What is the frequency of the wireless?";

    [Fact]
    public async Task InteractiveExecutor_DocumentCompressedBetweenTwoCalls_AnswersAsTheFacade()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        string document = await File.ReadAllTextAsync(Places.Document, cancellation) + "\n\n";
        using Foreign foreign = Foreign.Of(Places.Model, Cells);
        using KvContext kv = KvContext.Attach(foreign.Context);
        InteractiveExecutor executor = new(foreign.Context);
        int[] tokens = kv.Model.TokenizeDocument(document);
        await executor.PrefillPromptAsync(kv.Model.Detokenize(tokens, special: true), cancellation);
        Assert.Equal(tokens, kv.State.Tokens.ToArray());

        CompressionReport report = await kv.CompressAsync(Budget.FromRatio(0.8), cancellationToken: cancellation);
        string text = kv.Model.Detokenize(kv.Model.TokenizeQuestion(Question), special: true);
        string answer = await JoinAsync(executor.InferAsync(text, Greedily(), cancellation));

        using EdgeModel model = EdgeModel.Load(Places.Model);
        using EdgeSession session = model.CreateSession(new SessionOptions { ContextSize = (int)Cells, Threads = 1 });
        await session.PrefillAsync(document, cancellationToken: cancellation);
        CompressionReport expected = await session.CompressAsync(Budget.FromRatio(0.8), cancellationToken: cancellation);
        Answer facade = session.GenerateAsync(Question, new GenerationOptions { MaxTokens = Tokens, KeepTurn = true }, cancellation);
        string said = await JoinAsync(facade);

        Assert.Equal(expected.RowsAfter, report.RowsAfter);
        Assert.Equal(expected.BytesAfter, report.BytesAfter);
        Assert.Equal(session.Kv!.KeptPlan(), kv.KeptPlan());
        Assert.Equal("probed", report.Scores!.Name);
        Assert.InRange(report.RatioAchieved, 0.8, 0.801);
        Assert.Contains("2187", answer, StringComparison.Ordinal);

        // The executor goes on after the model has ended its turn.
        Assert.StartsWith(said, answer, StringComparison.Ordinal);
        int both = Math.Min(session.Position, kv.Position);
        Assert.True(both > tokens.Length + 10);
        Assert.Equal(session.Cache.Tokens[..both].ToArray(), kv.State.Tokens[..both].ToArray());
        Assert.Equal(session.Cache.Bytes, kv.State.Bytes);
    }

    [Fact]
    public async Task ChatSession_DocumentCompressedBetweenTwoMessages_GoesOnAsTheFacade()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using Foreign foreign = Foreign.Of(Places.Model, Cells);
        using KvContext kv = KvContext.Attach(foreign.Context);
        ChatSession chat = new ChatSession(new InteractiveExecutor(foreign.Context))
            .WithHistoryTransform(new PromptTemplateTransformer(foreign.Weights, withAssistant: true));
        await chat.AddAndProcessUserMessage(await File.ReadAllTextAsync(Places.Document, cancellation), cancellation);
        int[] read = kv.State.Tokens.ToArray();

        CompressionReport report = await kv.CompressAsync(Budget.FromRatio(0.8), cancellationToken: cancellation);
        CompressionPlan plan = kv.KeptPlan();
        await chat.AddAndProcessAssistantMessage("Thank you, I have read it.", cancellation);
        string answer = await JoinAsync(chat.ChatAsync(new ChatHistory.Message(AuthorRole.User, Question), Greedily(), cancellation));
        int[] all = kv.State.Tokens.ToArray();

        Assert.Contains("2187", answer, StringComparison.Ordinal);
        using EdgeModel model = EdgeModel.Load(Places.Model);
        using EdgeSession session = model.CreateSession(new SessionOptions { ContextSize = (int)Cells, Threads = 1 });
        await session.PrefillAsync(read, cancellationToken: cancellation);
        CompressionReport expected = await session.CompressAsync(Budget.FromRatio(0.8), cancellationToken: cancellation);
        Assert.Equal(session.Kv!.KeptPlan(), plan);
        Assert.Equal(expected.BytesAfter, report.BytesAfter);

        // What the chat fed behind the document ends in the header of the answer.
        int[] header = model.Tokenize("<|im_start|>assistant\n", parseSpecial: true);
        int start = Enumerable.Range(read.Length, all.Length - read.Length - header.Length).Last(i => all.AsSpan(i, header.Length).SequenceEqual(header)) + header.Length;
        session.Decode(all.AsSpan(read.Length, start - read.Length));
        IReadOnlyList<int> facade = Greedy.Continue(session.Kv!, all.Length - start, cancellationToken: cancellation);
        Assert.True(facade.Count > 10);
        Assert.Equal(all[start..(start + facade.Count)], facade);
        Assert.Equal(session.Cache.Bytes, kv.State.Bytes);
    }

    [Fact]
    public async Task BatchedExecutor_WithOneConversation_IsCompressed_WithTwoIsRefusedByName()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using Foreign foreign = Foreign.Of(Places.Model, 256);
        using BatchedExecutor executor = new(foreign.Weights, Foreign.Parameters(Places.Model, 1024));
        using KvContext kv = KvContext.Attach(executor.Context);
        Conversation conversation = executor.Create();
        conversation.Prompt(executor.Context.Tokenize((await File.ReadAllTextAsync(Places.Document, cancellation))[..1500]));
        Assert.Equal(DecodeResult.Ok, await executor.Infer(cancellation));
        int tokens = kv.Position;
        Conversation fork = conversation.Fork();

        SessionStateException refusal = await Assert.ThrowsAsync<SessionStateException>(
            () => kv.CompressAsync(Budget.FromRatio(0.5), cancellationToken: cancellation));
        Assert.Contains("2 sequences", refusal.Message, StringComparison.Ordinal);
        Assert.Equal(2, kv.State.Sequences);

        fork.Dispose();
        CompressionReport report = await kv.CompressAsync(Budget.FromRatio(0.5), cancellationToken: cancellation);
        Assert.InRange(report.RatioAchieved, 0.5, 0.501);
        Assert.Equal(tokens, report.ContextTokens);

        using EdgeModel model = EdgeModel.Load(Places.Model);
        using EdgeSession session = model.CreateSession(new SessionOptions { ContextSize = 1024, Threads = 1 });
        await session.PrefillAsync(kv.State.Tokens, cancellationToken: cancellation);
        await session.CompressAsync(Budget.FromRatio(0.5), cancellationToken: cancellation);
        IReadOnlyList<int> expected = Greedy.Continue(session.Kv!, Tokens, cancellationToken: cancellation);

        List<int> said = [];
        using GreedySamplingPipeline sampler = new();
        for (int i = 0; i < expected.Count; i++)
        {
            LLamaToken token = conversation.Sample(sampler);
            said.Add((int)token);
            conversation.Prompt(token);
            Assert.Equal(DecodeResult.Ok, await executor.Infer(cancellation));
        }

        Assert.Equal(expected, said);
        conversation.Dispose();
    }

    [Fact]
    public async Task CompressAsync_BetweenDecodeAndSample_LeavesLogitsThatNobodyHasRead()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        const int Context = 200;
        int[] tokens = TinyModels.RandomTokens(Context, 4);
        using Foreign read = Foreign.Tiny();
        using Foreign unread = Foreign.Tiny();
        using KvContext kv = KvContext.Attach(unread.Context);
        read.Decode(tokens, 0);
        unread.Decode(tokens, 0);

        // A pass over the whole context again, and the plan of it applied.
        CompressionReport report = await kv.CompressAsync(
            new GlobalRanking(new TaskScorer()) { Ratio = 0.5 }, cancellationToken: cancellation);

        Assert.True(report.Scores!.PassTokens >= Context);
        Assert.Equal(read.Context.NativeHandle.GetLogitsIth(Context - 1).ToArray(), unread.Context.NativeHandle.GetLogitsIth(Context - 1).ToArray());
        Assert.Equal(read.Context.NativeHandle.GetLogitsIth(Context - 1).ToArray(), kv.Logits().ToArray());
    }

    [Fact]
    public async Task CompressAsync_AnAttachedContextMeasuresSpeed_AndIsAsBefore()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        int[] tokens = TinyModels.RandomTokens(100, 4);
        using Foreign foreign = Foreign.Tiny();
        using KvContext kv = KvContext.Attach(foreign.Context);
        foreign.Decode(tokens, 0);
        List<CompressionStage> stages = [];

        CompressionReport report = await kv.CompressAsync(
            new SnapKV { Ratio = 0.5, Window = 16 },
            new CompressOptions { MeasureTokens = 4 },
            new Watcher(progress => stages.Add(progress.Stage)),
            cancellation);

        Assert.NotNull(report.TokensPerSecondBefore);
        Assert.NotNull(report.TokensPerSecondAfter);
        Assert.Contains(CompressionStage.Applying, stages);
        Assert.Equal(tokens, kv.State.Tokens.ToArray());
        using CancellationTokenSource stop = new();
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => kv.CompressAsync(new SnapKV { Ratio = 0.5 }, cancellationToken: stop.Token));
        Assert.Equal(100, kv.Position);
    }

    private static InferenceParams Greedily() => new() { MaxTokens = Tokens, SamplingPipeline = new GreedySamplingPipeline() };

    private static async Task<string> JoinAsync(IAsyncEnumerable<string> pieces)
    {
        string text = "";
        await foreach (string piece in pieces)
        {
            text += piece;
        }

        return text;
    }

    private sealed class Watcher(Action<CompressionProgress> report) : IProgress<CompressionProgress>
    {
        public void Report(CompressionProgress value) => report(value);
    }
}
