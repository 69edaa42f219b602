using EdgeKV.Compression;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using EdgeKV.Profiles;
using EdgeKV.Sessions;

namespace EdgeKV.Native.Tests;

/// <summary>A model's profile, and what sessions do with and without one.</summary>
public sealed class ProfileTests : IDisposable
{
    private static readonly Budget Half = Budget.FromRatio(0.5);

    private readonly string _folder = Directory.CreateTempSubdirectory("edgekv-profiles-").FullName;
    private readonly string _model;
    private readonly string _profile;

    public ProfileTests()
    {
        _model = Path.Combine(_folder, "tiny.gguf");
        _profile = Path.Combine(_folder, "tiny.edgekv");
        File.Copy(TinyModels.PathOf(TinyModel.LlamaGrouped), _model);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task CompressAsync_Budget_RanksByLearnedScoresWithoutAPass()
    {
        using EdgeModel model = WithProfile();
        using EdgeSession session = await Reader(model);

        CompressionReport report = await session.CompressAsync(Half);

        Assert.Equal(_profile, model.Profile?.Path);
        Assert.Same(model.Profile, session.Profile);
        Assert.Equal("global", report.Policy);
        Assert.Equal("learned", report.Scores?.Name);
        Assert.Null(report.Scores?.Pass);
        Assert.Equal(0, report.Scores?.PassTokens);
        Assert.Equal(3 * 257 * 2 * 4, report.Scores?.WeightBytes);
        Assert.Equal(3 * 257 * 2 * 4 / (double)model.Bytes, report.Scores!.WeightShare, 9);
        Assert.Equal(0.5, report.RatioAsked);
        Assert.Equal(3 * 2 * 200 / 2, report.TotalRowsAfter);
        Assert.StartsWith("learned scores: no pass, 6.0 KiB of weights (", report.Scores.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task CompressAsync_BudgetWithoutAProfile_RunsTheRepeatPass()
    {
        using EdgeModel model = EdgeModel.Load(_model);
        using EdgeSession session = await Reader(model);

        CompressionReport report = await session.CompressAsync(Half);

        Assert.Null(model.Profile);
        AssertRepeat(report);
        Assert.Equal(report.Scoring, report.Scores?.Pass);
        Assert.Matches(@"^repeat scores: a pass of \d{3} tokens, \d+\.\d s$", report.Scores?.ToString());
    }

    [Fact]
    public async Task CreateSession_LearnedScoresOff_NeedsNoProfile()
    {
        // A damaged one would be refused if it were looked at.
        File.WriteAllText(_profile, "what is this?");
        using EdgeModel model = EdgeModel.Load(_model);
        using EdgeSession session = await Reader(model, learned: false);

        Assert.Null(session.Profile);
        AssertRepeat(await session.CompressAsync(Half));
    }

    [Fact]
    public async Task CompressAsync_LoadedState_HasTheLearnedScoresThatWereSaved()
    {
        string state = Path.Combine(_folder, "state");
        using EdgeModel model = WithProfile();
        using EdgeSession session = await Reader(model);
        await session.SaveAsync(state);
        using EdgeSession loaded = model.CreateSession(new SessionOptions { ContextSize = 512, Threads = 1 });
        await loaded.LoadAsync(state);

        CompressionReport report = await loaded.CompressAsync(Half);

        Assert.Equal("learned", report.Scores?.Name);
        Assert.Equal(0, report.Scores?.PassTokens);
        Assert.Equal((await session.CompressAsync(Half)).RowsAfter, report.RowsAfter);
    }

    [Fact]
    public async Task CompressAsync_StateSavedWithoutLearnedScores_RunsTheRepeatPass()
    {
        string state = Path.Combine(_folder, "state");
        using EdgeModel model = WithProfile();
        using EdgeSession session = await Reader(model, learned: false);
        await session.SaveAsync(state);
        using EdgeSession loaded = model.CreateSession(new SessionOptions { ContextSize = 512, Threads = 1 });
        await loaded.LoadAsync(state);

        Assert.False(loaded.Cache.HasLearnedScores);
        AssertRepeat(await loaded.CompressAsync(Half));
    }

    [Fact]
    public void CreateSession_GivenProfile_IsTakenInsteadOfTheModels()
    {
        using EdgeModel model = WithProfile();
        ScoreProfile other = RandomProfile.Of(model, 2);
        using EdgeSession session = model.CreateSession(new SessionOptions { ContextSize = 512, Threads = 1, Profile = other });

        Assert.Same(other, session.Profile);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task CompressAsync_BudgetThatKeepsNoRow_IsRefused(bool whileReading)
    {
        using EdgeModel model = WithProfile();
        using EdgeSession session = model.CreateSession(new SessionOptions { ContextSize = 512, Threads = 1 });
        int[] tokens = TinyModels.RandomTokens(100, seed: 3);
        Budget nothing = Budget.FromRatio(0.9999999);

        Task<CompressionReport> compressing;
        if (whileReading)
        {
            compressing = session.CompressWhileReadingAsync(tokens, new GlobalRanking(new LearnedScorer()) { Budget = nothing });
        }
        else
        {
            await session.PrefillAsync(tokens);
            compressing = session.CompressAsync(nothing);
        }

        PlanException refusal = await Assert.ThrowsAsync<PlanException>(() => compressing);

        Assert.Contains("keeps no row of 100 tokens", refusal.Message, StringComparison.Ordinal);
        Assert.Equal(whileReading ? 0 : 100, session.Position);
        Assert.False(session.Cache.IsCompact);
    }

    [Fact]
    public async Task CompressAsync_ThresholdAlone_AskedForNoRatio()
    {
        using EdgeModel model = WithProfile();
        using EdgeSession session = await Reader(model);

        CompressionReport report = await session.CompressAsync(new GlobalRanking(new LearnedScorer { Recent = 5 }) { Limit = 1000 });

        Assert.Null(report.RatioAsked);
        Assert.All(report.RowsAfter, rows => Assert.Equal(4 + 5, rows));
    }

    [Fact]
    public void Profile_OfAnotherModel_IsRefusedByName()
    {
        using (EdgeModel other = EdgeModel.Load(TinyModels.PathOf(TinyModel.Qwen2)))
        {
            RandomProfile.Of(other, 1).Save(_profile);
        }

        using EdgeModel model = EdgeModel.Load(_model);

        ProfileException error = Assert.Throws<ProfileException>(() => model.CreateSession());
        Assert.Contains(_profile, error.Message, StringComparison.Ordinal);
        Assert.Contains("another model", error.Message, StringComparison.Ordinal);
        Assert.Contains("edgekv calibrate", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Profile_Damaged_IsRefusedByName()
    {
        File.WriteAllText(_profile, "EDGEKV-PROFILE 1\n{");
        using EdgeModel model = EdgeModel.Load(_model);

        Assert.Contains(_profile, Assert.Throws<ProfileException>(() => model.Profile).Message, StringComparison.Ordinal);
    }

    private static async Task<EdgeSession> Reader(EdgeModel model, bool learned = true)
    {
        EdgeSession session = model.CreateSession(new SessionOptions { ContextSize = 1024, Threads = 1, LearnedScores = learned });
        await session.PrefillAsync(TinyModels.RandomTokens(200, 3));
        return session;
    }

    private static void AssertRepeat(CompressionReport report)
    {
        Assert.Equal("repeat", report.Scores?.Name);
        Assert.InRange(report.Scores!.PassTokens, 201, 300);
        Assert.True(report.Scores.Pass > TimeSpan.Zero);
        Assert.Equal(0, report.Scores.WeightBytes);
        Assert.Equal(3 * 2 * 200 / 2, report.TotalRowsAfter);
    }

    private EdgeModel WithProfile()
    {
        EdgeModel model = EdgeModel.Load(_model);
        RandomProfile.Of(model, 1).Save(_profile);
        return model;
    }
}
