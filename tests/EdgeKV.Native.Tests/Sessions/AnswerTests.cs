using EdgeKV.Generation;
using EdgeKV.Sessions;

namespace EdgeKV.Native.Tests;

/// <summary>Answers of a session: the same again, kept, stopped, sampled.</summary>
public sealed class AnswerTests(ModelFixture fixture)
{
    private const string Question = "How tall is the lighthouse?";

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
        AnswerResult result = await ModelFixture.Result(session, Question);
        Assert.Equal(first, result.Text);
        Assert.InRange(result.Tokens.Count, 1, 8);
        Assert.True(result.PromptTokens > 5);
        Assert.True(result.TokensPerSecond > 0);
        Assert.Equal(first, session.Model.Detokenize([.. result.Tokens]));
    }

    [Fact]
    public async Task GenerateAsync_KeepTurn_ContinuesTheConversation()
    {
        using EdgeSession session = await fixture.Reader();
        GenerationOptions keep = new() { MaxTokens = 8, KeepTurn = true };
        int position = session.Position;

        string first = await ModelFixture.Answer(session, Question, keep);
        int afterFirst = session.Position;
        AnswerResult second = await ModelFixture.Result(session, "And its colour?", keep);

        Assert.NotEmpty(first);
        Assert.Equal(position + session.Model.TokenizeQuestion(Question).Length + 8, afterFirst);
        Assert.True(session.Position > afterFirst);
        int withHeader = session.Model.TokenizeQuestion("And its colour?", newTurn: true).Length;
        Assert.Equal(withHeader, second.PromptTokens);
        session.Rollback(position);
        Assert.True((await ModelFixture.Result(session, "And its colour?")).PromptTokens < withHeader);
    }

    [Fact]
    public async Task GenerateAsync_LoopLeft_TakesTheTurnBack()
    {
        using EdgeSession session = await fixture.Reader();
        int position = session.Position;

        Answer answer = session.GenerateAsync(Question);
        await foreach (string piece in answer)
        {
            Assert.NotEmpty(piece);
            break;
        }

        Assert.Equal(position, session.Position);
        Assert.Equal(FinishReason.Stopped, answer.Result.FinishReason);
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

        // The result has the text once more and the tokens, and both are collected in arrays that grow.
        text += (manyCharacters - fewCharacters) * 4 + (many - few) * 8;
        Assert.True(many >= few + 20, $"{many} and {few} pieces");
        Assert.True(manyBytes - fewBytes <= text + 512, $"{manyBytes - fewBytes} bytes for {many - few} pieces, whose text takes {text}");
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
