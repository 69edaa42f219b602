using EdgeKV.Compression;
using EdgeKV.Policies.Allocators;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.Native.Tests;

/// <summary>What a session sees of its context's attention, and that the context is as before afterwards.</summary>
public sealed class ScoringTests(ModelFixture fixture)
{
    private const string Question = "How tall is the lighthouse?";

    private static readonly Statistic ContextMaxima = Maxima(TaskSet.Context);
    private static readonly Statistic ContextSums = new TaskAttention(TaskSet.Context, AttentionAggregate.Sum);
    private static readonly Statistic WindowSums = new TaskAttention(TaskSet.Window(8), AttentionAggregate.Sum);

    [Fact]
    public async Task ScoreAsync_Context_IsAttentionAndLeavesTheCacheAlone()
    {
        using EdgeSession session = await fixture.Reader();
        int position = session.Position;
        string before = await ModelFixture.Answer(session, Question);
        Recorder recorder = new();

        using AttentionScores scores = await session.ScoreAsync(
            new ScoreRequest(
                ContextMaxima, ContextSums, new KeyNorms(), new ValueNorms()),
            recorder);

        Assert.Equal(position, scores.Tokens);
        Assert.Equal(position, scores.Queries(ContextMaxima));
        Assert.Equal(position, scores.Queries(ContextSums));
        Assert.Equal(position, scores.PassTokens);
        for (int layer = 0; layer < scores.Layers; layer++)
        {
            for (int head = 0; head < scores.Heads[layer]; head++)
            {
                ReadOnlySpan<float> max = scores.Values(ContextMaxima, layer, head);
                ReadOnlySpan<float> sum = scores.Values(ContextSums, layer, head);
                float total = 0;
                for (int token = 0; token < position; token++)
                {
                    Assert.InRange(max[token], 0, 1.0001f);
                    Assert.True(sum[token] >= max[token] * 0.999f && sum[token] <= max[token] * position * 1.001f);
                    total += sum[token];
                }

                // Each query's weights over what it sees make 1; the task tokens' own columns are not counted.
                Assert.InRange(total, 0.001f, position * 1.001f);
            }
        }

        for (int head = 0; head < scores.KvHeads[3]; head++)
        {
            Assert.True(scores.KeyNorms(3, head).IndexOf(0f) < 0 && scores.ValueNorms(3, head).IndexOf(0f) < 0);
        }

        Assert.Equal(1.0, recorder.Shares[^1], 6);
        Assert.Equal(position, session.Position);
        Assert.Equal(before, await ModelFixture.Answer(session, Question));
        scores.Dispose();
        Assert.Throws<ObjectDisposedException>(() => scores.Values(ContextMaxima, 0, 0).Length);
    }

    [Fact]
    public async Task ScoreAsync_OutputNorms_LetCriticalKVPlan()
    {
        using EdgeSession session = await fixture.Reader();
        Statistic l1 = new OutputNorms(NormKind.L1);
        Statistic l2 = new OutputNorms(NormKind.L2);
        var policy = new CriticalAdaKV { Ratio = 0.5 };

        using AttentionScores scores = await session.ScoreAsync(ScoreRequest.Union(policy.Request, new ScoreRequest(l1, l2)));

        for (int head = 0; head < session.Model.Geometry.Heads[0]; head++)
        {
            ReadOnlySpan<float> sums = scores.Values(l1, 3, head);
            ReadOnlySpan<float> roots = scores.Values(l2, 3, head);
            Assert.Equal(session.Position, sums.Length);
            for (int token = 0; token < sums.Length; token++)
            {
                // Norms of one vector of the model's 576 channels.
                Assert.InRange(sums[token], roots[token], roots[token] * 24 * 1.001f);
                Assert.True(roots[token] > 0);
            }
        }

        // Heads that share a KV head, and so its values, have columns of their own.
        Assert.False(scores.Values(l1, 3, 0).SequenceEqual(scores.Values(l1, 3, 1)));
        CompressionReport report = await session.ApplyAsync(policy.Plan(scores));
        Assert.Equal((long)Math.Floor(session.Position * session.Model.Geometry.KvHeads[0] * 0.5) * session.Model.Layers, report.TotalRowsAfter);
    }

    [Fact]
    public async Task ScoreAsync_ContextInChunks_CountsEveryQuery()
    {
        int[] document = fixture.Model.TokenizeDocument(ModelFixture.Document);
        int[] tokens = [.. Enumerable.Range(0, 200).Select(i => document[i % document.Length])];

        // Cells come in blocks of 256: 56 are left, so the context is fed again in four parts.
        using EdgeSession session = fixture.Model.CreateSession(ModelFixture.Options with { ContextSize = 256 });
        await session.PrefillAsync(tokens);
        Assert.Equal(256, session.Limit);

        using AttentionScores scores = await session.ScoreAsync(new ScoreRequest(ContextMaxima));

        Assert.Equal(tokens.Length, scores.PassTokens);
        Assert.Equal(tokens.Length, session.Position);
    }

    [Fact]
    public async Task ScoreAsync_RepeatInChunks_InstructsEachOfThem()
    {
        int[] document = fixture.Model.TokenizeDocument(ModelFixture.Document);
        int[] tokens = [.. document, .. Enumerable.Range(0, 190 - document.Length).Select(i => document[^(1 + i % 20)])];
        int instruction = fixture.Model.RepeatInstruction().Length;
        int opening = fixture.Model.Chat.OpeningLength(tokens);
        int chunks = (tokens.Length - opening + 256 - tokens.Length - instruction - 1) / (256 - tokens.Length - instruction);
        using EdgeSession session = fixture.Model.CreateSession(ModelFixture.Options with { ContextSize = 256 });
        await session.PrefillAsync(tokens);

        using AttentionScores scores = await session.ScoreAsync(new ScoreRequest(Maxima(TaskSet.Repeat)));

        Assert.InRange(chunks, 2, 20);
        Assert.InRange(opening, 1, tokens.Length - 1);
        Assert.Equal(tokens.Length - opening + chunks * instruction, scores.PassTokens);
        Assert.Equal(tokens.Length, session.Position);
    }

    [Fact]
    public async Task ScoreAsync_ContextWithoutRoom_SaysWhatHelps()
    {
        int[] tokens = new int[250];
        Array.Fill(tokens, 500);
        using EdgeSession session = fixture.Model.CreateSession(ModelFixture.Options with { ContextSize = 256 });
        await session.PrefillAsync(tokens);

        ContextWindowException exception = await Assert.ThrowsAsync<ContextWindowException>(
            () => session.ScoreAsync(new ScoreRequest(ContextMaxima)));

        Assert.Equal(256, exception.Limit);
        Assert.Contains("question", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ScoreAsync_Window_SeesItsOwnTokensAndPutsThemBack()
    {
        using EdgeSession session = await fixture.Reader();
        int position = session.Position;

        using AttentionScores scores = await session.ScoreAsync(new ScoreRequest(WindowSums));

        Assert.Equal(8, scores.Queries(WindowSums));
        Assert.Equal(position, session.Position);

        // The last eight queries see the whole context, themselves included: every weight is counted.
        Assert.Equal(8, Total(scores.Values(WindowSums, 5, 4)), 0.01f);

        // Only the first of the window's tokens is seen by all of them, the last one by itself alone.
        Assert.True(scores.Values(WindowSums, 5, 4)[^1] <= 1.0001f);

        // Not the same words: fed in other batches, 8-bit activations are rounded otherwise.
        Assert.Contains("41", await ModelFixture.Answer(session, Question), StringComparison.Ordinal);
    }

    [Fact]
    public async Task ScoreAsync_SeveralWindowsAndSets_EqualEachOfThemAlone()
    {
        using EdgeSession session = await fixture.Reader();
        int position = session.Position;
        TaskSet question = TaskSet.Question(Question);
        Statistic[] statistics =
        [
            new WindowAttention(1),
            new WindowAttention(40),
            new WindowAttention(8),
            WindowSums,
            Maxima(TaskSet.Window(20)),
            WindowAttention.All,
            Maxima(question),
            new KeyNorms(),
        ];
        Recorder recorder = new();

        using AttentionScores together = await session.ScoreAsync(new ScoreRequest(statistics), recorder);

        Assert.Equal(position, session.Position);
        Assert.Equal(position + session.Model.TokenizeQuestion(Question).Length, together.PassTokens);
        Assert.Equal(1.0, recorder.Shares[^1], 6);
        Assert.Equal(recorder.Shares.Order(), recorder.Shares);
        Assert.Equal([1, 40, 8, 8, 20, position], statistics.Take(6).Select(together.Queries));
        foreach (Statistic statistic in statistics)
        {
            using AttentionScores alone = await session.ScoreAsync(new ScoreRequest(statistic));
            Assert.Equal(alone.Queries(statistic), together.Queries(statistic));
            for (int layer = 0; layer < alone.Layers; layer += 7)
            {
                // Fed in other batches, 8-bit activations are rounded otherwise.
                Assert.True(Distance(alone.Values(statistic, layer, 1), together.Values(statistic, layer, 1)) < 0.05, $"{statistic}, layer {layer}");
            }
        }

        // Every query of the whole context makes 1, and the first sees itself alone.
        Assert.Equal(position, Total(together.Values(WindowAttention.All, 5, 4)), 0.5f);
        Assert.True(together.Values(WindowAttention.All, 5, 4)[0] >= 1);
    }

    [Fact]
    public async Task ScoreAsync_LateWindow_CountsEveryQueryByItsPosition()
    {
        const int Window = 6;
        using EdgeSession session = await fixture.Reader();
        int position = session.Position;
        WindowAttention[] windows = [.. Enumerable.Range(1, Window).Select(queries => new WindowAttention(queries))];
        LateWindowAttention late = new(Window);

        using AttentionScores sums = await session.ScoreAsync(new ScoreRequest(windows));
        using AttentionScores scores = await session.ScoreAsync(new ScoreRequest(late));

        Assert.Equal(position, session.Position);
        Assert.Equal(Window, scores.PassTokens);
        Assert.Equal(Window, scores.Queries(late));
        for (int layer = 0; layer < scores.Layers; layer++)
        {
            for (int head = 0; head < scores.Heads[layer]; head++)
            {
                // The query at position - Window + k is among the last 1 to Window - 1 queries k times.
                float[] own = scores.Values(late, layer, head).ToArray();
                for (int token = 0; token < own.Length; token++)
                {
                    double expected = windows[..^1].Sum(window => sums.Values(window, layer, head)[token])
                        + (position - Window) * (double)sums.Values(windows[^1], layer, head)[token];
                    Assert.Equal(expected, own[token], 1e-4 * position);
                }
            }
        }

        using AttentionScores whole = await session.ScoreAsync(new ScoreRequest(new LateWindowAttention(position + 1)));
        Assert.Equal(position, whole.PassTokens);
        Assert.Equal(position * (position - 1) / 2, Total(whole.Values(new LateWindowAttention(position + 1), 5, 4)), 0.001f * position * position);
    }

    public static TheoryData<ScoreRequest> Windows => [new ScoreRequest(new WindowAttention(40), WindowSums), new ScoreRequest(new LateWindowAttention(40))];

    [Theory]
    [MemberData(nameof(Windows), DisableDiscoveryEnumeration = true)]
    public async Task ScoreAsync_WindowCancelled_PutsTheTokensBack(ScoreRequest request)
    {
        using EdgeSession session = await fixture.Reader();
        int position = session.Position;
        using CancellationTokenSource source = new();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => session.ScoreAsync(
            request,
            scoreMemory: 1,
            new Recorder { Then = _ => source.Cancel() },
            source.Token));

        Assert.Equal(position, session.Position);

        // Not the same words: fed in other batches, 8-bit activations are rounded otherwise.
        Assert.Contains("41", await ModelFixture.Answer(session, Question), StringComparison.Ordinal);
    }

    [Fact]
    public async Task ScoreAsync_Reconstruction_ScoresEveryChunkButThePrefix()
    {
        using EdgeSession session = await fixture.Reader();
        int position = session.Position;
        int prefix = session.Model.TokenizeDocument(string.Empty).Length;
        var chunks = new ReconstructionAttention((position - prefix) / 2);
        Recorder recorder = new();

        using AttentionScores scores = await session.ScoreAsync(new ScoreRequest(chunks), recorder);

        Assert.Equal(position, session.Position);
        Assert.Equal(prefix, scores.PrefixTokens);
        Assert.InRange(scores.PassTokens, position - prefix + 20, 3 * position);
        Assert.Equal(scores.PassTokens, scores.Queries(chunks));
        Assert.Equal(1.0, recorder.Shares[^1], 6);
        Assert.Equal(recorder.Shares.Order(), recorder.Shares);
        for (int layer = 0; layer < scores.Layers; layer++)
        {
            float[] row = scores.Values(chunks, layer, 3).ToArray();
            Assert.All(row[..prefix], weight => Assert.Equal(0, weight));
            Assert.All(row[prefix..], weight => Assert.InRange(weight, 1e-9f, 1.0001f));
        }

        // Not the same words: fed in other batches, 8-bit activations are rounded otherwise.
        Assert.Contains("41", await ModelFixture.Answer(session, Question), StringComparison.Ordinal);
    }

    [Fact]
    public async Task ScoreAsync_ReconstructionCancelled_TakesTheChunkBack()
    {
        using EdgeSession session = await fixture.Reader();
        int position = session.Position;
        using CancellationTokenSource source = new();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => session.ScoreAsync(
            new ScoreRequest(new ReconstructionAttention(16)),
            scoreMemory: 1,
            new Recorder { Then = _ => source.Cancel() },
            source.Token));

        Assert.Equal(position, session.Position);
        Assert.Contains("41", await ModelFixture.Answer(session, Question), StringComparison.Ordinal);
    }

    [Fact]
    public async Task ScoreAsync_ReconstructionPastTheWindow_IsRefusedAndFitsInSmallerChunks()
    {
        using EdgeSession session = fixture.Model.CreateSession(ModelFixture.Options with { ContextSize = 256 });
        await session.PrefillAsync(string.Concat(Enumerable.Repeat(ModelFixture.Document, 3)));
        int length = session.Position;

        ContextWindowException error = await Assert.ThrowsAsync<ContextWindowException>(
            () => session.ScoreAsync(new ScoreRequest(new ReconstructionAttention())));

        Assert.Contains($"context of {length} tokens in chunks of 2048 takes {error.Length} positions; there are {error.Limit}.", error.Message, StringComparison.Ordinal);
        Assert.Contains("a smaller chunk", error.Message, StringComparison.Ordinal);
        using AttentionScores scores = await session.ScoreAsync(new ScoreRequest(new ReconstructionAttention(8)));
        Assert.Equal(length, session.Position);
    }

    [Fact]
    public async Task ScoreAsync_QuestionAndTexts_FeedThemOnce()
    {
        using EdgeSession session = await fixture.Reader();
        int[] question = session.Model.TokenizeQuestion(Question);

        using AttentionScores one = await session.ScoreAsync(new ScoreRequest(Maxima(TaskSet.Question(Question))));
        using AttentionScores two = await session.ScoreAsync(new ScoreRequest(Maxima(TaskSet.Question(Question, Question))));
        using AttentionScores text = await session.ScoreAsync(new ScoreRequest(Maxima(TaskSet.Texts("Repeat it."))));

        Assert.Equal(question.Length, one.PassTokens);
        Assert.Equal(2 * question.Length, two.PassTokens);
        Assert.Equal(session.Model.Tokenize("Repeat it.").Length, text.PassTokens);
        Assert.True(two.Values(Maxima(TaskSet.Question(Question, Question)), 4, 4)[20] >= one.Values(Maxima(TaskSet.Question(Question)), 4, 4)[20] * 0.99f);
    }

    private static TaskAttention Maxima(TaskSet taskSet) => new(taskSet, AttentionAggregate.Max);

    private static float Total(ReadOnlySpan<float> weights)
    {
        float total = 0;
        foreach (float weight in weights)
        {
            total += weight;
        }

        return total;
    }

    // Of two rows, relative to the first.
    private static double Distance(ReadOnlySpan<float> one, ReadOnlySpan<float> other)
    {
        double squares = 0;
        double all = 0;
        for (int i = 0; i < one.Length; i++)
        {
            squares += (one[i] - other[i]) * (double)(one[i] - other[i]);
            all += (double)one[i] * one[i];
        }

        return Math.Sqrt(squares / all);
    }
}
