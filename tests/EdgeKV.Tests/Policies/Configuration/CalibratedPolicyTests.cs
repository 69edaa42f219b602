using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using EdgeKV.Models;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Configuration;
using EdgeKV.Policies.Scorers;
using EdgeKV.Profiles;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Configuration;

/// <summary>Policies that take tables from a profile, and what wraps them.</summary>
public sealed class CalibratedPolicyTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("edgekv-calibrated-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void WithTables_CompressKV_TakesTheBestFourHeadsAndTheErrors()
    {
        ScoreProfile profile = Profile(Table(
            "compresskv", new("head scores", [2, 5], new float[] { 1, 5, 3, 4, 3, 0, 0, 0, 0, 9 }), new("layer errors", [2], new[] { 0.75f, 0.25f })));

        var policy = (CompressKV)Completed(new CompressKV { Window = 3 }, profile);

        Assert.Equal(new CompressKV { Window = 3, Calibration = new CompressKVCalibration(new HeadsByLayer([[1, 3, 2, 4], [4, 0, 1, 2]]), [0.75, 0.25]) }, policy);
    }

    [Fact]
    public void WithTables_DuoAttention_TakesTheGates()
    {
        var policy = (DuoAttention)Completed(new DuoAttention(), Profile(Table("duo-attention", new ProfileArray("gates", [2, 2], new[] { 0, 0.5f, 1, 0.25f }))));

        Assert.Equal(new DuoAttentionGates([[0, 0.5], [1, 0.25]]), policy.Gates);
    }

    [Fact]
    public void WithTables_RazorAttention_TakesTheBestHeads()
    {
        ScoreProfile profile = Profile(Table(
            "razor-attention", new("echo", [2, 5], new float[10]), new("induction", [2, 5], new float[] { 0, 0, 0, 0, 0, 0, 0, 1, 0, 0 })));

        var policy = (RazorAttention)Completed(new RazorAttention(), profile);

        Assert.Equal(new HeadsByLayer([[], [2]]), policy.Heads);
    }

    [Fact]
    public void WithTables_QFilters_TakesTheDirections()
    {
        var policy = (QFilters)Completed(new QFilters(), Profile(Table("q-filters", new ProfileArray("directions", [1, 2, 3], new float[] { 1, 2, 3, 4, 5, 6 }))));

        Assert.Equal([4, 5, 6], policy.Directions!.Of(0, 1).ToArray());
    }

    [Fact]
    public void WithTables_ProbedScorer_TakesTheCorrection()
    {
        ScoreProfile profile = Profile(Table("global", new ProfileArray("coefficients", [1, 2, 3], new float[] { 1, 2, 3, 4, 5, 6 })));

        var policy = (ProbedScorer)Completed(new ProbedScorer { Recent = 9 }, profile);

        Assert.Equal(new ProbeCorrection(HeadLayout.Uniform(1, 2), new float[] { 1, 2, 3, 4, 5, 6 }), policy.Correction);
        Assert.Equal(9, policy.Recent);
        Assert.Empty(Missing(policy));
        Assert.Empty(Missing(new GlobalRanking(new LearnedScorer())));
        Assert.Equal(policy, ((GlobalRanking)Completed(new GlobalRanking(new ProbedScorer { Recent = 9 }), profile)).Scorer);
        Assert.Equal(
            new SumScorer(policy, new TaskScorer()) { Sinks = 1 }, Completed(new SumScorer(new ProbedScorer { Recent = 9 }, new TaskScorer()) { Sinks = 1 }, profile));
        Assert.Equal(
            new WeightedScorer(policy, new ValueNorms()), Completed(new WeightedScorer(new ProbedScorer { Recent = 9 }, new ValueNorms()), profile));

        profile = Profile(Table("global", new ProfileArray("coefficients", [1, 2, 4], new float[8])));
        Assert.Contains(
            "8 numbers are not 3 for each of 1 layers x 2 KV heads",
            Assert.Throws<ProfileException>(() => Completed(new ProbedScorer(), profile)).Message,
            StringComparison.Ordinal);

        profile = Profile(new ProfileTable(
            "global", [new ProfileArray("coefficients", [1, 2, 3], new float[6])], new Dictionary<string, string> { ["question"] = "And?" }));
        Assert.Contains(
            "is of another question than this version asks; make it again with `edgekv calibrate MODEL --for global`",
            Assert.Throws<ProfileException>(() => Completed(new ProbedScorer(), profile)).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void WithTables_LUKV_TakesTheCurvesAndCompletesItsScorer()
    {
        float[] any = [.. Enumerable.Range(1, 99).Select(percent => percent / 100f)];
        float[] keys = [.. Enumerable.Repeat(0.5f, 99)];
        ScoreProfile profile = Profile(
            Table("lu-kv", new("any scorer", [99, 1, 1], any), new ProfileArray("q-filters", [99, 1, 1], keys)),
            Table("q-filters", new ProfileArray("directions", [1, 1, 1], new float[] { 2 })));

        var policy = (LUKV)Completed(new LUKV { Scorer = new QFilters(), Sinks = 7 }, profile);

        Assert.Equal(new LUKVCurves(HeadLayout.Uniform(1, 1), [new("q-filters", keys), new("any scorer", any)]), policy.Curves);
        Assert.NotNull(((QFilters)policy.Scorer).Directions);
        Assert.Equal(7, policy.Sinks);
        Assert.Empty(Missing(policy));

        profile = Profile(Table("lu-kv", new ProfileArray("any scorer", [98, 1, 1], any.AsMemory(1))));
        Assert.Contains("1 layers x 1 KV heads at 99 ratios need 99", Assert.Throws<ProfileException>(() => Completed(new LUKV(), profile)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void MissingTables_WhatWasGiven_IsNotMissing()
    {
        var gates = new DuoAttentionGates([[1.0]]);

        Assert.Equal(["duo-attention"], Missing(new DuoAttention()));
        Assert.Empty(Missing(new DuoAttention { Gates = gates }));
        Assert.Empty(Missing(new AdaKV()));
        Assert.Equal(["compresskv"], Missing(new ChunkKV { Scorer = new CompressKV() }));
        Assert.Equal(["lu-kv", "q-filters"], Missing(new LUKV { Scorer = new QFilters() }));
        Assert.Equal(["q-filters", "duo-attention"], Missing(new LayerBudgets { Counts = new DuoAttention(), Scorer = new QFilters() }));
    }

    [Fact]
    public void WithTables_Wrappers_PassThemDown()
    {
        ScoreProfile profile = Profile(
            Table("q-filters", new ProfileArray("directions", [1, 1, 1], new float[] { 2 })),
            Table("duo-attention", new ProfileArray("gates", [1, 1], new[] { 0.5f })));

        var ada = (AdaKV)Completed(new AdaKV { Scorer = new QFilters(), Alpha = 0.3 }, profile);
        var budgets = (LayerBudgets)Completed(new LayerBudgets { Counts = new DuoAttention(), Scorer = new QFilters() }, profile);

        Assert.NotNull(((QFilters)ada.Scorer).Directions);
        Assert.NotNull(((QFilters)budgets.Scorer).Directions);
        Assert.NotNull(((DuoAttention)budgets.Counts).Gates);
        Assert.Empty(Missing(ada));
        Assert.Empty(Missing(budgets));
    }

    [Fact]
    public void WithTables_ProfileWithoutTheTable_NamesTheCommand()
    {
        ProfileException error = Assert.Throws<ProfileException>(() => Completed(new CompressKV(), Profile()));

        Assert.Contains("no table for compresskv", error.Message, StringComparison.Ordinal);
        Assert.Contains("edgekv calibrate MODEL --for compresskv", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void WithTables_TableOfAnotherKind_IsRefused()
    {
        ScoreProfile profile = Profile(Table("compresskv", new("head scores", [2, 1], new float[2]), new("layer errors", [3], new float[] { 1, 0, 0 })));
        Assert.Contains("errors of 3 layers and heads of 2", Assert.Throws<ProfileException>(() => Completed(new CompressKV(), profile)).Message, StringComparison.Ordinal);

        profile = Profile(Table("duo-attention", new ProfileArray("gates", [4], new float[4])));
        Assert.Contains("no 'gates' of 2 dimensions", Assert.Throws<ProfileException>(() => Completed(new DuoAttention(), profile)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("compresskv")]
    [InlineData("duo-attention")]
    [InlineData("razor-attention")]
    [InlineData("lu-kv")]
    [InlineData("q-filters")]
    [InlineData("ada:scorer=q-filters")]
    [InlineData("global:source=probed")]
    public void Create_WithoutTheTable_LeavesItToTheProfile(string text)
    {
        ICompressionPolicy policy = PolicyOptions.Parse(text).Create();

        Assert.Single(Missing(policy));
        Assert.Contains("edgekv calibrate MODEL --for", Assert.Throws<ArgumentException>(() => policy.Request).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Create_GatesByFile_ReadsThem()
    {
        string file = Path.Combine(_folder, "gates.tsv");
        File.WriteAllText(file, "0.5\t1\n0.25\t0\n");

        var policy = (DuoAttention)PolicyOptions.Parse($"duo-attention:gates={file},sinks=64").Create();

        Assert.Equal(new DuoAttention { Gates = new DuoAttentionGates([[0.5, 1], [0.25, 0]]), Sinks = 64 }, policy);
    }

    [Fact]
    public void Create_GatesByFileThatIsNone_NamesIt()
    {
        ArgumentException error = Assert.Throws<ArgumentException>(() => PolicyOptions.Parse("duo-attention:gates=none.tsv").Create());

        Assert.Contains("Policy duo-attention: gates=none.tsv", error.Message, StringComparison.Ordinal);
        Assert.Contains("cannot be read", error.Message, StringComparison.Ordinal);
    }

    private static ICalibratedPolicy Completed(ICalibratedPolicy policy, ScoreProfile profile) => policy.WithTables(profile);

    private static IReadOnlyList<string> Missing(object policy) => ((ICalibratedPolicy)policy).MissingTables;

    private static ProfileTable Table(string name, params ProfileArray[] arrays) =>
        new(name, arrays, new Dictionary<string, string> { ["question"] = ProbeTaskSet.Text });

    private ScoreProfile Profile(params ProfileTable[] tables)
    {
        byte[] weights = MemoryMarshal.AsBytes<float>([0, 0, 0]).ToArray();
        string header = $$"""
            EDGEKV-PROFILE 1
            { "model": "abc", "layers": 1, "embeddingSize": 2, "kvHeads": 1, "weights": "{{Convert.ToHexStringLower(SHA256.HashData(weights))}}", "provenance": {} }
            """;
        string path = Path.Combine(_folder, "hand.edgekv");
        File.WriteAllBytes(path, [.. Encoding.UTF8.GetBytes(header + "\n\0"), .. weights]);
        return ScoreProfile.Load(path).With(tables);
    }
}
