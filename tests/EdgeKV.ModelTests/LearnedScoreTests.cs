using EdgeKV.Compression;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using EdgeKV.Profiles;
using EdgeKV.Scoring;
using EdgeKV.Sessions;
using Trial = EdgeKV.Measurements.Learned;

namespace EdgeKV.ModelTests;

/// <summary>Scores that come with the prefill, and the profiles that hold their maps.</summary>
public sealed class LearnedScoreTests : IDisposable
{
    private static readonly ScoreRequest Learned = new(new Scoring.Learned());

    private readonly string _path = Path.Combine(Path.GetTempPath(), $"edgekv-{Guid.NewGuid():n}{ScoreProfile.Extension}");

    public static TheoryData<TinyModel> Models => [.. TinyModels.Supported];

    public static TheoryData<string> Prompts => [.. Golden.All.Where(g => g.Learned is not null).Select(g => g.Name).DefaultIfEmpty(Golden.Missing)];

    [Theory]
    [MemberData(nameof(Prompts))]
    public async Task Score_TheTrialsMap_GivesItsScoresAndPlans(string prompt)
    {
        Assert.SkipWhen(Trial.Missing is not null, Trial.Missing ?? "");
        Assert.SkipWhen(Golden.All.All(g => g.Name != prompt), Golden.Missing);
        Golden golden = Golden.All.Single(g => g.Name == prompt);
        using EdgeModel model = EdgeModel.Load(Places.Model);
        using EdgeSession session = model.CreateSession(new SessionOptions { Profile = Trial.TrialsMap(model), Threads = Math.Min(2, SessionOptions.MostThreads) });
        await session.PrefillAsync(golden.Context, cancellationToken: TestContext.Current.CancellationToken);

        using AttentionScores scores = await session.ScoreAsync(Learned, cancellationToken: TestContext.Current.CancellationToken);

        double sum = 0;
        for (int layer = 0; layer < scores.Layers; layer++)
        {
            for (int head = 0; head < scores.KvHeads[layer]; head++)
            {
                ReadOnlySpan<float> ours = scores.Learned(layer, head);
                ReadOnlySpan<float> theirs = golden.Learned.AsSpan((scores.KvHeads.First(layer) + head) * scores.Tokens, scores.Tokens);
                for (int i = 0; i < ours.Length; i++)
                {
                    sum += Math.Abs(ours[i] - theirs[i]);
                }
            }
        }

        Assert.InRange(sum / golden.Learned!.Length, 0, 0.05);
        foreach (double ratio in new[] { 0.8, 0.9 })
        {
            CompressionPlan plan = new GlobalRanking(new LearnedScorer { Recent = 0 }) { Budget = Budget.FromRatio(ratio) }.Plan(scores);
            Assert.InRange(golden.LearnedPlan(ratio).Overlap(plan), 0.95, 1);
        }
    }

    [Theory]
    [MemberData(nameof(Models))]
    public async Task Compress_ByLearnedScores_KeepsTheBudget(TinyModel tiny)
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(tiny));
        using EdgeSession session = model.CreateSession(new SessionOptions { Profile = RandomProfile.Of(model, 1), ContextSize = 512 });
        await session.PrefillAsync(TinyModels.RandomTokens(200, 3), cancellationToken: cancellation);

        CompressionReport report = await session.CompressAsync(
            new GlobalRanking(new LearnedScorer()) { Budget = Budget.FromRatio(0.9) }, cancellationToken: cancellation);

        Assert.Equal((int)(model.Geometry.KvHeads.Total * 200 * (1 - 0.9)), report.RowsAfter.Sum());
        Assert.Equal(model.VocabularySize, session.Decode([5]).Length);
    }

    [Fact]
    public async Task Compress_ByRepeatScores_FeedsTheContextAgain()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.Qwen2));
        using EdgeSession session = model.CreateSession(new SessionOptions { ContextSize = 512 });
        await session.PrefillAsync(TinyModels.RandomTokens(200, 3), cancellationToken: cancellation);

        using AttentionScores scores = await session.ScoreAsync(
            new ScoreRequest(new TaskAttention(TaskSet.Repeat, AttentionAggregate.Max)), cancellationToken: cancellation);

        Assert.InRange(scores.PassTokens, 201, 300);
        Assert.Equal(200, session.Position);
    }

    [Fact]
    public async Task Score_WithoutAProfile_SaysSo()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.Qwen2));
        using EdgeSession session = model.CreateSession(new SessionOptions { ContextSize = 512 });
        await session.PrefillAsync(TinyModels.RandomTokens(20, 3), cancellationToken: cancellation);

        SessionStateException refusal = await Assert.ThrowsAsync<SessionStateException>(() => session.ScoreAsync(Learned, cancellationToken: cancellation));
        Assert.Contains("profile", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Save_ThenLoad_GivesTheSame()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.Qwen2));
        ScoreProfile profile = RandomProfile.Of(model, 2, new Dictionary<string, double> { ["small"] = -3.25, ["tiny"] = 1e-300 });
        profile.Save(_path);
        ScoreProfile loaded = ScoreProfile.Load(_path);
        Assert.Equal(profile.Weights.ToArray(), loaded.Weights.ToArray());
        Assert.Equal(profile.Provenance, loaded.Provenance);
        Assert.Equal(profile.Thresholds, loaded.Thresholds);
        Assert.Equal(2, loaded.Thresholds.Count);
        Assert.Equal(_path, loaded.Path);
        Assert.Null(profile.Path);
        Assert.Equal(model.Fingerprint, loaded.Model);
    }

    [Theory]
    [InlineData("small", double.NaN)]
    [InlineData("small", double.NegativeInfinity)]
    [InlineData(" ", -3)]
    public void Of_WrongThreshold_IsRefused(string name, double value)
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.Qwen2));
        Assert.Throws<ArgumentException>(() => RandomProfile.Of(model, 1, new Dictionary<string, double> { [name] = value }));
    }

    [Fact]
    public void CreateSession_ProfileOfAnotherModel_IsRefused()
    {
        using EdgeModel one = EdgeModel.Load(TinyModels.PathOf(TinyModel.Qwen2));
        using EdgeModel other = EdgeModel.Load(TinyModels.PathOf(TinyModel.Qwen3));
        SessionOptions options = new() { Profile = RandomProfile.Of(one, 3), ContextSize = 512 };
        ProfileException refusal = Assert.Throws<ProfileException>(() => other.CreateSession(options));
        Assert.Contains("another model", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Load_DamagedFiles_AreRefused()
    {
        using EdgeModel model = EdgeModel.Load(TinyModels.PathOf(TinyModel.Qwen2));
        RandomProfile.Of(model, 4).Save(_path);
        byte[] bytes = File.ReadAllBytes(_path);
        Random random = new(5);
        for (int i = 0; i < 200; i++)
        {
            byte[] damaged = [.. bytes];
            if (i % 2 == 0)
            {
                damaged = damaged[..random.Next(damaged.Length)];
            }
            else
            {
                // Anywhere but in the words about where it comes from.
                int at = i % 4 == 1 ? random.Next(16) : bytes.Length - 1 - random.Next(bytes.Length / 2);
                damaged[at] ^= (byte)(1 << random.Next(8));
            }

            File.WriteAllBytes(_path, damaged);
            Assert.Throws<ProfileException>(() => ScoreProfile.Load(_path));
        }

        File.Delete(_path);
        Assert.Throws<ProfileException>(() => ScoreProfile.Load(_path));
    }

    public void Dispose() => File.Delete(_path);
}
