using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Configuration;
using EdgeKV.Policies.Scorers;
using EdgeKV.Profiles;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Configuration;

/// <summary>What is chosen where nobody chose it, and what is refused.</summary>
public sealed class PolicyResolverTests : IDisposable
{
    private static readonly ContextRoom Fits = new(Tokens: 100, Limit: 140, Question: 40);
    private static readonly ContextRoom Full = new(Tokens: 101, Limit: 140, Question: 40);
    private static readonly ProbeCorrection Correction = new(HeadLayout.Uniform(1, 2), new float[] { 1, 2, 3, 4, 5, 6 });

    private readonly string _folder = Directory.CreateTempSubdirectory("edgekv-resolver-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Resolve_NothingChosen_TakesWhatTheProfileAndTheRoomAllow()
    {
        ScoreProfile plain = Profile(corrected: false);
        ScoreProfile corrected = Profile(corrected: true);

        Assert.Equal(new TaskScorer(), ScorerOf("global", null, Fits));
        Assert.Equal(new LearnedScorer(), ScorerOf("global", plain, Fits));
        Assert.Equal(new ProbedScorer { Correction = Correction }, ScorerOf("global", corrected, Fits));
        Assert.Equal(new LearnedScorer(), ScorerOf("global", corrected, Full));
        Assert.Equal(new LearnedScorer(), ScorerOf("global", corrected, ContextRoom.None));
        Assert.Equal(new ProbedScorer { Correction = Correction }, ScorerOf("global", corrected, ContextRoom.Ample));

        // Thresholds and weights were tried with learned scores alone.
        Assert.Equal(new LearnedScorer(), ScorerOf("global:threshold=-5", corrected, Fits));
        Assert.Equal(new WeightedScorer(new LearnedScorer(), new ValueNorms()), ScorerOf("global:weight=value-norm", corrected, Fits));

        // Other options stay what they are.
        Assert.Equal(new ProbedScorer { Correction = Correction, Recent = 9 }, ScorerOf("global:recent=9", corrected, Fits));
        Assert.Equal(new TaskScorer { Recent = 9 }, ScorerOf("global:recent=9", null, Fits));
    }

    [Fact]
    public void Resolve_ScoresChosen_AreTaken()
    {
        ScoreProfile corrected = Profile(corrected: true);

        Assert.Equal(new TaskScorer(), ScorerOf("global:source=repeat", corrected, Fits));
        Assert.Equal(new LearnedScorer(), ScorerOf("global:source=learned", corrected, Fits));
        Assert.Equal(new ProbedScorer { Correction = Correction }, ScorerOf("global:source=probed", corrected, Full));

        // A task set says as much as a source.
        Assert.Equal(new TaskScorer { TaskSet = TaskSet.Context }, ScorerOf("global:task-set=context", corrected, Fits));
        Assert.Equal(
            new TaskScorer { TaskSet = TaskSet.Texts(["Who?"]) },
            ((GlobalRanking)PolicyResolver.Resolve(Spec("global") with { TaskSet = TaskSet.Texts(["Who?"]) }, () => corrected, Fits).Policy).Scorer);
    }

    [Fact]
    public void Resolve_Budget_TakesThePlaceOfTheOptions()
    {
        Assert.Equal(Budget.FromRows(7), PolicyResolver.Resolve(Budget.FromRows(7), Profile(corrected: true), Fits).Policy.Budget);
        Assert.Equal(Budget.FromRows(7), PolicyResolver.Resolve(Budget.FromRows(7), null, Fits).Policy.Budget);
        Assert.Equal(
            new SnapKV { Ratio = 0.3, Window = 8 },
            PolicyResolver.Resolve(Spec("snapkv:window=8,rows=5") with { Budget = Budget.FromRatio(0.3) }, NoProfile, Fits).Policy);
    }

    [Fact]
    public void Resolve_NotesAndProfile_SayWhatWasChosen()
    {
        PolicyResolution none = PolicyResolver.Resolve(Spec("global"), () => null, Fits);
        Assert.Equal("there is no profile for this model, so the repeat pass scores its rows", none.Note);
        Assert.True(none.LacksProfile);
        Assert.Null(none.Profile);

        ScoreProfile corrected = Profile(corrected: true);
        PolicyResolution full = PolicyResolver.Resolve(Spec("global"), () => corrected, Full);
        Assert.Equal("behind 101 tokens there is no room for the 40 of a general question in 140, so rows are ranked by learned scores alone", full.Note);
        Assert.Same(corrected, full.Profile);
        Assert.False(full.LacksProfile);
        Assert.Null(PolicyResolver.Resolve(Spec("global"), () => corrected, Fits).Note);
        Assert.Null(PolicyResolver.Resolve(Spec("global"), () => corrected, ContextRoom.None).Note);

        // Who needs no profile does not have it read.
        Assert.Null(PolicyResolver.Resolve(Spec("tova"), NoProfile, Fits).Profile);
        Assert.Null(PolicyResolver.Resolve(Spec("global:source=repeat"), NoProfile, Fits).Profile);
    }

    [Fact]
    public void Resolve_ProfileMissing_NamesTheCommandThatMakesIt()
    {
        Assert.Contains(
            "Policy global needs a profile, and there is none for this model; make one with `edgekv calibrate MODEL`",
            Assert.Throws<ProfileException>(() => PolicyResolver.Resolve(Spec("global") with { MayRepeat = false }, () => null, Fits)).Message,
            StringComparison.Ordinal);
        Assert.Contains(
            "`edgekv calibrate MODEL --for q-filters`",
            Assert.Throws<ProfileException>(() => PolicyResolver.Resolve(Spec("ada:scorer=q-filters"), () => null, Fits)).Message,
            StringComparison.Ordinal);
        Assert.Contains(
            "no table for q-filters",
            Assert.Throws<ProfileException>(() => PolicyResolver.Complete(new QFilters(), () => Profile(corrected: true))).Message,
            StringComparison.Ordinal);
        Assert.Equal(new Tova(), PolicyResolver.Complete(new Tova(), NoProfile));
    }

    [Theory]
    [InlineData("global", true, false)]
    [InlineData("global", false, true)]
    [InlineData("global:source=learned", true, true)]
    [InlineData("global:source=probed", true, false, "global")]
    [InlineData("global:source=repeat", false, false)]
    [InlineData("threshold:limit=-5", true, true)]
    [InlineData("lu-kv:scorer=q-filters", true, false, "lu-kv", "q-filters")]
    [InlineData("tova", true, false)]
    public void NeedsOf_AnyPolicy_AreWhatItCannotDoWithout(string policy, bool mayRepeat, bool learned, params string[] tables)
    {
        PolicyNeeds needs = PolicyResolver.NeedsOf(Spec(policy) with { MayRepeat = mayRepeat });

        Assert.Equal(learned, needs.Learned);
        Assert.Equal(tables, needs.Tables);
        Assert.Equal(learned || tables.Length > 0, needs.Any);
    }

    private static PolicySpec Spec(string policy) => new(PolicyOptions.Parse(policy));

    private static ScoreProfile? NoProfile() => throw new InvalidOperationException("Nobody needs the profile.");

    private static IRowScorer ScorerOf(string policy, ScoreProfile? profile, ContextRoom room) =>
        ((GlobalRanking)PolicyResolver.Resolve(Spec(policy), () => profile, room).Policy).Scorer;

    private ScoreProfile Profile(bool corrected)
    {
        byte[] weights = MemoryMarshal.AsBytes<float>([0, 0, 0]).ToArray();
        string header = $$"""
            EDGEKV-PROFILE 1
            { "model": "abc", "layers": 1, "embeddingSize": 2, "kvHeads": 1, "weights": "{{Convert.ToHexStringLower(SHA256.HashData(weights))}}", "provenance": {} }
            """;
        string path = Path.Combine(_folder, "hand.edgekv");
        File.WriteAllBytes(path, [.. Encoding.UTF8.GetBytes(header + "\n\0"), .. weights]);
        ScoreProfile profile = ScoreProfile.Load(path);
        return corrected
            ? profile.With(new ProfileTable(
                "global",
                [new ProfileArray("coefficients", [1, 2, 3], new float[] { 1, 2, 3, 4, 5, 6 })],
                new Dictionary<string, string> { ["question"] = ProbeTaskSet.Text }))
            : profile;
    }
}
