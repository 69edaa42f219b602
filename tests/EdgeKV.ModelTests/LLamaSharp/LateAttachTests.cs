using EdgeKV.Compression;
using EdgeKV.Engine;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.ModelTests.LLamaSharp;

/// <summary>Contexts that held tokens before EdgeKV was attached, or before it had a profile.</summary>
public sealed class LateAttachTests
{
    private const int Before = 60;
    private const int Tokens = 100;

    [Fact]
    public async Task Attach_AfterTokensWereDecoded_RefusesWhatReadsThemAgainWithTheRange()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        int[] tokens = TinyModels.RandomTokens(Tokens, 4);
        using Foreign foreign = Foreign.Tiny();
        foreign.Decode(tokens.AsSpan(0, Before), 0);
        using KvContext kv = KvContext.Attach(foreign.Context, RandomProfile.Of(EdgeModel.From(foreign.Weights), 1));
        foreign.Decode(tokens.AsSpan(Before), Before);

        CacheState state = kv.State;
        Assert.Equal(Tokens, state.Position);
        Assert.All(state.Tokens[..Before].ToArray(), token => Assert.Equal(CacheState.UnknownToken, token));
        Assert.Equal(tokens[Before..], state.Tokens[Before..].ToArray());
        Assert.False(state.HasLearnedScores);

        SessionStateException repeat = await Assert.ThrowsAsync<SessionStateException>(
            () => kv.CompressAsync(new GlobalRanking(new TaskScorer()) { Ratio = 0.5 }, cancellationToken: cancellation));
        Assert.Contains($"positions 0 to {Before - 1} are not known", repeat.Message, StringComparison.Ordinal);
        SessionStateException learned = await Assert.ThrowsAsync<SessionStateException>(
            () => kv.ScoreAsync(new ScoreRequest(new Learned()), cancellationToken: cancellation));
        Assert.Contains("learned scores", learned.Message, StringComparison.Ordinal);

        // The default has no scores to rank by, and says which tokens it lacks.
        SessionStateException byDefault = await Assert.ThrowsAsync<SessionStateException>(
            () => kv.CompressAsync(Budget.FromRatio(0.5), cancellationToken: cancellation));
        Assert.Contains($"0 to {Before - 1}", byDefault.Message, StringComparison.Ordinal);

        // Policies that read nothing again work: also one whose window lies behind the attach.
        Assert.Equal(Tokens, kv.Position);
        CompressionReport report = await kv.CompressAsync(new SnapKV { Ratio = 0.3, Window = 16 }, cancellationToken: cancellation);
        Assert.InRange(report.RatioAchieved, 0.29, 0.31);
        Assert.True(kv.State.IsCompact);
    }

    [Fact]
    public async Task Attach_ProfileGivenLate_FallsBackAndTheReportSaysWhatItCost()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        int[] tokens = TinyModels.RandomTokens(Tokens, 4);
        using Foreign foreign = Foreign.Tiny();
        using (KvContext first = KvContext.Attach(foreign.Context))
        {
            Assert.Null(first.Profile);
            foreign.Decode(tokens.AsSpan(0, Before), 0);
        }

        using KvContext kv = KvContext.Attach(foreign.Context, RandomProfile.Of(EdgeModel.From(foreign.Weights), 1));
        foreign.Decode(tokens.AsSpan(Before), Before);
        Assert.False(kv.State.HasLearnedScores);

        CompressionReport report = await kv.CompressAsync(Budget.FromRatio(0.5), cancellationToken: cancellation);

        ScoreCost cost = report.Scores!;
        Assert.Equal("repeat", cost.Name);
        Assert.Equal([(0, Before)], cost.LearnedMissing);
        Assert.NotNull(cost.Pass);
        Assert.True(cost.PassTokens >= Tokens);
        Assert.Contains($"learned scores are missing at positions 0 to {Before - 1}", cost.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Attach_BeforeTheFirstToken_HasLearnedScoresOfEveryBatchThatOthersDecode()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        int[] tokens = TinyModels.RandomTokens(Tokens, 4);
        using Foreign foreign = Foreign.Tiny();
        using KvContext kv = KvContext.Attach(foreign.Context, RandomProfile.Of(EdgeModel.From(foreign.Weights), 1));
        foreign.Decode(tokens.AsSpan(0, Before), 0);
        foreign.Decode(tokens.AsSpan(Before), Before);
        Assert.True(kv.State.HasLearnedScores);

        CompressionReport report = await kv.CompressAsync(Budget.FromRatio(0.5), cancellationToken: cancellation);

        Assert.Equal("learned", report.Scores!.Name);
        Assert.Empty(report.Scores.LearnedMissing);
        Assert.Equal(0, report.Scores.PassTokens);

        // Tokens that come later have their scores too, and the cache shrinks again.
        foreign.Decode(TinyModels.RandomTokens(40, 5), Tokens);
        CompressionReport again = await kv.CompressAsync(Budget.FromRatio(0.75), cancellationToken: cancellation);
        Assert.Equal(Tokens + 40, again.ContextTokens);
        Assert.InRange(again.RatioAchieved, 0.75, 0.76);
    }
}
