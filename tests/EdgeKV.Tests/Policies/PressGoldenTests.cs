using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies;

/// <summary>From the reference's scores the reference's plans, to the last position where its scores have no ties.</summary>
public class PressGoldenTests
{
    private static readonly string[] Prompts = ["niah_single_2_0", "niah_multikey_1_1"];

    public static MatrixTheoryData<string, string, double> BesideTheCheckout { get; } = new(Prompts, ["tova", "snapkv", "knorm", "keydiff"], [0.5, 0.8]);

    public static MatrixTheoryData<string, double> RowsBesideTheCheckout { get; } = new(Prompts, [0.5, 0.8]);

    public static MatrixTheoryData<string, double> Bundled { get; } = new(["tova", "snapkv", "knorm"], [0.5, 0.8]);

    [Theory]
    [MemberData(nameof(Bundled))]
    public void Plan_BundledPressScores_GivesTheGoldenPlan(string press, double ratio) => AssertPlan(PressScores.Bundled, press, ratio);

    [Theory]
    [MemberData(nameof(BesideTheCheckout))]
    public void Plan_PressScoresBesideTheCheckout_GivesTheGoldenPlan(string prompt, string press, double ratio) =>
        AssertPlan(PressScores.BesideTheCheckout(prompt), press, ratio);

    [Fact]
    public void Plan_StreamingLLM_GivesTheGoldenPlan()
    {
        // At 0.8 the golden scores are those of 0.5, all equal at the cut: no plan follows from them.
        using AttentionScores nothing = PressScores.Bundled.Nothing();

        CompressionPlan plan = new StreamingLLM { Ratio = 0.5 }.Plan(nothing);

        Assert.Equal(PressScores.Bundled.Press("streaming_llm", "kept_sha256@0.5").GetString(), GoldenScores.Sha256(plan));
    }

    [Theory]
    [InlineData(0.5)]
    [InlineData(0.8)]
    public void Rows_BundledSnapKVScores_AreAdaKVsAndPyramidKVs(double ratio) => AssertRows(PressScores.Bundled, ratio);

    [Theory]
    [MemberData(nameof(RowsBesideTheCheckout))]
    public void Rows_SnapKVScoresBesideTheCheckout_AreAdaKVsAndPyramidKVs(string prompt, double ratio) =>
        AssertRows(PressScores.BesideTheCheckout(prompt), ratio);

    private static void AssertPlan(PressScores golden, string press, double ratio)
    {
        GivenScores scorer = golden.Scorer(press);
        using AttentionScores nothing = golden.Nothing();

        CompressionPlan plan = (scorer with { Ratio = ratio }).Plan(nothing);

        // torch.topk leaves it open which of the rows that are equal at the cut stay: the golden plan is one of the choices there are.
        string golden256 = golden.Press(press, $"kept_sha256@{ratio.ToString(CultureInfo.InvariantCulture)}").GetString()!;
        Assert.Contains(golden256, Choices(plan, scorer, 0).Take(1000).Select(GoldenScores.Sha256));
    }

    // The plan itself, and all that differ from it only in rows that are equal at a head's cut. Protected rows score above the cut in the goldens.
    private static IEnumerable<CompressionPlan> Choices(CompressionPlan plan, GivenScores scorer, int list)
    {
        int lists = plan.KvHeads.Total;
        for (; list < lists; list++)
        {
            float[] row = scorer.Values[(list * plan.ContextTokens)..((list + 1) * plan.ContextTokens)];
            int[] kept = plan.Positions(plan.KvHeads.At(list).Layer, plan.KvHeads.At(list).Head).ToArray();
            float cut = kept.Min(position => row[position]);
            int[] tied = [.. Enumerable.Range(0, row.Length).Where(position => row[position] == cut)];
            int[] sure = [.. kept.Where(position => row[position] > cut)];
            if (tied.Length > kept.Length - sure.Length)
            {
                int next = list + 1;
                return Subsets(tied, kept.Length - sure.Length).SelectMany(
                    chosen => Choices(With(plan, next - 1, [.. sure.Concat(chosen).Order()]), scorer, next));
            }
        }

        return [plan];
    }

    private static IEnumerable<IEnumerable<int>> Subsets(int[] of, int count) => count == 0
        ? [[]]
        : of.Select((first, i) => (first, rest: of[(i + 1)..])).SelectMany(
            split => Subsets(split.rest, count - 1).Select(others => others.Prepend(split.first)));

    private static CompressionPlan With(CompressionPlan plan, int list, int[] positions)
    {
        int start = plan.Counts[..list].ToArray().Sum();
        int[] all = plan.FlatPositions.ToArray();
        positions.CopyTo(all, start);
        return new CompressionPlan(plan.KvHeads, plan.ContextTokens, plan.Counts, all);
    }

    private static void AssertRows(PressScores golden, double ratio)
    {
        using AttentionScores nothing = golden.Nothing();
        string at = ratio.ToString(CultureInfo.InvariantCulture);

        CompressionPlan ada = new AdaKV { Scorer = golden.Scorer("snapkv"), Ratio = ratio }.Plan(nothing);

        Assert.Equal(
            golden.Press("ada_snapkv", $"rows@{at}").EnumerateArray().SelectMany(heads => heads.EnumerateArray().Select(rows => rows.GetInt32())),
            ada.Counts.ToArray());

        // Its rows do not depend on scores.
        using AttentionScores zeros = new(
            CacheGeometry.Uniform(golden.Layers, 9, golden.KvHeads, 1, 1), golden.Tokens, [new(new WindowAttention(64), new StatisticValues(TestScores.Buffer(new float[golden.Layers * 9 * golden.Tokens]), 64))]);
        CompressionPlan pyramid = new PyramidKV { Ratio = ratio }.Plan(zeros);
        Assert.Equal(
            golden.Press("pyramidkv", $"rows_per_layer@{at}").EnumerateArray().Select(rows => rows.GetInt32()),
            Enumerable.Range(0, golden.Layers).Select(layer => pyramid.Rows(layer, 0)));
    }
}

/// <summary>A prompt's scores by the reference's presses, and what it planned from them.</summary>
internal sealed class PressScores
{
    private readonly string _folder;
    private readonly JsonElement _presses;

    private PressScores(string folder)
    {
        _folder = folder;
        using var golden = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "golden.json")));
        Layers = golden.RootElement.GetProperty("n_layer").GetInt32();
        KvHeads = golden.RootElement.GetProperty("n_head_kv").GetInt32();
        Tokens = golden.RootElement.GetProperty("n_context").GetInt32();
        using var presses = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "presses.json")));
        _presses = presses.RootElement.Clone();
    }

    /// <summary>The prompt that is part of the repository.</summary>
    public static PressScores Bundled => new(Path.Combine(AppContext.BaseDirectory, "Goldens", "niah_single_2_0"));

    public int Layers { get; }

    public int KvHeads { get; }

    public int Tokens { get; }

    /// <summary>A prompt of the folder <c>shared</c>; without it the test is skipped.</summary>
    public static PressScores BesideTheCheckout(string prompt)
    {
        string? folder = Places.Shared is { } shared ? Path.Combine(shared, "goldens", prompt) : null;
        if (!Directory.Exists(folder))
        {
            Assert.Skip(Golden.Missing);
        }

        return new PressScores(folder);
    }

    public JsonElement Press(string press, string property) => _presses.GetProperty(press).GetProperty(property);

    /// <summary>Scores of the prompt's sizes that hold nothing.</summary>
    public AttentionScores Nothing() => new(CacheGeometry.Uniform(Layers, KvHeads, KvHeads, 1, 1), Tokens, []);

    /// <summary>A press's scores, in a scorer that protects nothing.</summary>
    public GivenScores Scorer(string press) => new(Values(press));

    /// <summary>A press's scores, [layers, kvHeads, tokens].</summary>
    public float[] Values(string press)
    {
        byte[] bytes = GoldenScores.Bytes(Path.Combine(_folder, $"press_{press}.f32"))
            ?? throw new FileNotFoundException($"{_folder} has no scores of {press}.");
        return MemoryMarshal.Cast<byte, float>(bytes).ToArray();
    }
}
