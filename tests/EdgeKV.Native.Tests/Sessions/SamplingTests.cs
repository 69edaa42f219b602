using EdgeKV.Generation;
using EdgeKV.Policies.Scorers;
using EdgeKV.Sessions;
using LLama.Sampling;

namespace EdgeKV.Native.Tests;

/// <summary>LLamaSharp's sampling pipelines in a session's answers.</summary>
public sealed class SamplingTests(ModelFixture fixture)
{
    private const string Question = "How tall is the lighthouse?";

    private static Grammar Metres => new("root ::= [0-9] [0-9]? [0-9]? \" metres\"", "root");

    public static TheoryData<bool> Caches => [false, true];

    [Theory]
    [MemberData(nameof(Caches))]
    public async Task Sampling_TemperatureWithASeed_GivesTheSameTextEachTime(bool compact)
    {
        using EdgeSession session = await Reader(compact);
        using DefaultSamplingPipeline one = new() { Temperature = 3, TopK = 0, TopP = 1, MinP = 0, Seed = 7 };
        using DefaultSamplingPipeline again = new() { Temperature = 3, TopK = 0, TopP = 1, MinP = 0, Seed = 7 };
        using DefaultSamplingPipeline other = new() { Temperature = 3, TopK = 0, TopP = 1, MinP = 0, Seed = 8 };

        string first = await Answer(session, one);

        Assert.Equal(first, await Answer(session, one));
        Assert.Equal(first, await Answer(session, again));
        Assert.NotEqual(first, await Answer(session, other));
    }

    [Fact]
    public async Task Sampling_OnlyTokensAsLikelyAsTheLikeliest_IsGreedy()
    {
        using EdgeSession session = await Reader(compact: false);

        AnswerResult greedy = await ModelFixture.Result(session, Question, new GenerationOptions { MaxTokens = 20 });
        AnswerResult drawn = await ModelFixture.Result(session, Question, new GenerationOptions { MaxTokens = 20, Temperature = 3, TopK = 0, TopP = 1, MinP = 1 });

        Assert.Equal(greedy.Tokens, drawn.Tokens);
    }

    [Theory]
    [MemberData(nameof(Caches))]
    public async Task Sampling_Grammar_HoldsFromTheFirstTokenToTheLast(bool compact)
    {
        using EdgeSession session = await Reader(compact);
        using GreedySamplingPipeline greedy = new() { Grammar = Metres };
        using DefaultSamplingPipeline warm = new() { Grammar = Metres, Temperature = 1.5f, Seed = 3 };

        foreach (ISamplingPipeline pipeline in (ISamplingPipeline[])[greedy, warm, greedy, warm])
        {
            AnswerResult answer = await ModelFixture.Result(session, Question, new GenerationOptions { MaxTokens = 40, Sampling = pipeline });

            Assert.Equal(FinishReason.EndOfTurn, answer.FinishReason);
            Assert.Matches("^[0-9]{1,3} metres$", answer.Text);
        }
    }

    [Theory]
    [MemberData(nameof(Caches))]
    public async Task Sampling_RepeatPenalty_LeavesNoTokenTwice(bool compact)
    {
        using EdgeSession session = await Reader(compact);
        using DefaultSamplingPipeline pipeline = new() { RepeatPenalty = 1e6f, PenaltyCount = 256, TopK = 1 };
        GenerationOptions options = new() { MaxTokens = 60, Sampling = pipeline };

        AnswerResult answer = await ModelFixture.Result(session, "Count from one to ten, ten times.", options);

        Assert.True(answer.Tokens.Count > 3);
        Assert.Equal(answer.Tokens.Distinct(), answer.Tokens);

        // The tokens of one answer are not held against the next.
        Assert.Equal(answer.Tokens, (await ModelFixture.Result(session, "Count from one to ten, ten times.", options)).Tokens);
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public async Task Sampling_PipelineThatThrows_LeavesTheSessionAsALoopThatWasLeft(bool keepTurn, bool keepStopped)
    {
        using EdgeSession session = await Reader(compact: false);
        GenerationOptions options = new() { MaxTokens = 20, KeepTurn = keepTurn, KeepStopped = keepStopped };
        int start = session.Position;
        int pieces = 0;
        await foreach (string _ in session.GenerateAsync(Question, options))
        {
            if (++pieces == 3)
            {
                break;
            }
        }

        int[] left = session.Cache.Tokens.ToArray();
        session.Rollback(start);
        Answer answer = session.GenerateAsync(Question, options with { Sampling = new Scripted { ThrowsAt = 4 } });
        InvalidTimeZoneException error = await Assert.ThrowsAsync<InvalidTimeZoneException>(async () =>
        {
            await foreach (string _ in answer)
            {
            }
        });

        Assert.Equal("no", error.Message);
        Assert.Equal(FinishReason.Stopped, answer.Result.FinishReason);
        Assert.Equal(left, session.Cache.Tokens.ToArray());
        session.Rollback(start);
        Assert.Contains("41", await ModelFixture.Answer(session, Question), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Sampling_PipelineWhoseResetThrows_LeavesTheSessionUsable()
    {
        using EdgeSession session = await Reader(compact: false);
        int start = session.Position;

        await Assert.ThrowsAsync<InvalidTimeZoneException>(() => Answer(session, new Scripted { ThrowsAt = 0 }));

        Assert.Equal(start, session.Position);
        Assert.Contains("41", await ModelFixture.Answer(session, Question), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Sampling_TokenThatIsNotInTheVocabulary_IsNamed()
    {
        using EdgeSession session = await Reader(compact: false);
        int start = session.Position;

        EdgeKVException error = await Assert.ThrowsAsync<EdgeKVException>(() => Answer(session, new Scripted { Tokens = [500, 1_000_000] }));

        Assert.Contains("1000000", error.Message, StringComparison.Ordinal);
        Assert.Equal(start, session.Position);
        Assert.Contains("41", await ModelFixture.Answer(session, Question), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Sampling_DisposedPipeline_IsMadeAnewByLLamaSharp()
    {
        using EdgeSession session = await Reader(compact: false);
        using GreedySamplingPipeline pipeline = new();
        string before = await Answer(session, pipeline);
        pipeline.Dispose();

        Assert.Equal(before, await Answer(session, pipeline));
    }

    private static Task<string> Answer(EdgeSession session, ISamplingPipeline pipeline) =>
        ModelFixture.Answer(session, Question, new GenerationOptions { MaxTokens = 10, Sampling = pipeline });

    private async Task<EdgeSession> Reader(bool compact)
    {
        EdgeSession session = await fixture.Reader();
        if (compact)
        {
            await session.CompressAsync(new KVCompose { Ratio = 0.4 });
        }

        return session;
    }
}
