using System.Collections.Concurrent;
using System.Globalization;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Planning;
using EdgeKV.Policies.Scorers;

namespace EdgeKV.Tests.Policies.Scorers;

/// <summary>From the reference's scores exactly the reference's plans, to the last position.</summary>
public class KVComposeGoldenTests
{
    private static readonly ConcurrentDictionary<string, GoldenScores> Loaded = new();

    public static MatrixTheoryData<string, string, double> Bundled { get; } = new(
        ["niah_single_2_0", "niah_multivalue_2"],
        ["structured", "structured_first_layer_largest", "unstructured"],
        [0.5, 0.7, 0.8, 0.9, 0.95]);

    public static MatrixTheoryData<string, string, double> BesideTheCheckout { get; } = new(
        ["niah_single_2_0", "niah_multivalue_2", "niah_multikey_1_1", "vt_0"],
        ["structured", "structured_first_layer_largest", "unstructured"],
        [0.5, 0.7, 0.8, 0.9, 0.95]);

    [Theory]
    [MemberData(nameof(Bundled))]
    public void Plan_BundledGoldenScores_GivesTheGoldenPlan(string prompt, string kind, double ratio) =>
        AssertGolden(Path.Combine(AppContext.BaseDirectory, "Goldens", prompt), kind, ratio);

    [Theory]
    [MemberData(nameof(BesideTheCheckout))]
    public void Plan_GoldenScoresBesideTheCheckout_GivesTheGoldenPlan(string prompt, string kind, double ratio)
    {
        string? folder = Places.Shared is { } shared ? Path.Combine(shared, "goldens", prompt) : null;
        if (!Directory.Exists(folder))
        {
            Assert.Skip(Golden.Missing);
        }

        AssertGolden(folder, kind, ratio);
    }

    private static void AssertGolden(string folder, string kind, double ratio)
    {
        GoldenScores golden = Loaded.GetOrAdd(folder, path => new GoldenScores(path));
        string name = string.Create(CultureInfo.InvariantCulture, $"{kind}@{ratio}");
        var policy = new KVCompose
        {
            Ratio = ratio,
            Structured = kind != "unstructured",
            FirstLayerLargest = kind == "structured_first_layer_largest",
        };

        CompressionPlan plan = policy.Plan(golden.Scores);

        int[] rows = policy.Structured ? [.. Enumerable.Range(0, plan.Layers).Select(layer => plan.Rows(layer, 0))] : plan.Counts.ToArray();
        Assert.Equal(golden.Rows(name), rows);
        Assert.Equal(golden.KeptSha256(name), GoldenScores.Sha256(plan));
    }
}
