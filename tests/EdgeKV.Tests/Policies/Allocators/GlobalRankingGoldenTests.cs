using EdgeKV.Measurements.Subjects;
using EdgeKV.Planning;
using EdgeKV.Policies.Configuration;

namespace EdgeKV.Tests.Policies.Allocators;

/// <summary>From the reference's learned scores exactly its ragged plans, to the last position.</summary>
public class GlobalRankingGoldenTests
{
    public static MatrixTheoryData<string, double> BesideTheCheckout { get; } = new(
        ["niah_single_2_0", "niah_multivalue_2", "niah_multikey_1_1"], [0.8, 0.9]);

    [Theory]
    [InlineData(0.8)]
    [InlineData(0.9)]
    public void Plan_BundledLearnedScores_GivesTheGoldenPlan(double ratio) =>
        AssertGolden(Path.Combine(AppContext.BaseDirectory, "Goldens", "niah_single_2_0"), ratio);

    [Theory]
    [MemberData(nameof(BesideTheCheckout))]
    public void Plan_LearnedScoresBesideTheCheckout_GivesTheGoldenPlan(string prompt, double ratio)
    {
        string? folder = Places.Shared is { } shared ? Path.Combine(shared, "goldens", prompt) : null;
        if (!Directory.Exists(folder))
        {
            Assert.Skip(Golden.Missing);
        }

        AssertGolden(folder, ratio);
    }

    private static void AssertGolden(string folder, double ratio)
    {
        var golden = new GoldenScores(folder);

        // The reference protects no last positions.
        CompressionPlan plan = new GlobalSettings { Budget = Budget.FromRatio(ratio), Recent = 0 }.Plan(golden.Scores);

        Assert.Equal(KeepBits.ToPlan(golden.LearnedMask(ratio), plan.KvHeads, plan.ContextTokens), plan);
    }
}
