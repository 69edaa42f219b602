using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Numerics;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Scorers;

public class CompressKVTests
{
    private static readonly CompressKVCalibration TwoLayers = new(new HeadsByLayer([[1], [0, 2]]), [0.25, 0.75]);

    // 2 layers of 3 attention heads and 1 KV head, 6 tokens, the last 2 are the window. Nothing is pooled.
    private static AttentionScores Handmade() => StatisticScores.Of(
        2,
        3,
        1,
        6,
        new WindowAttention(2),
        [
            9, 0, 0, 0, 0, 0,
            1, 2, 4, 3, 0, 0,
            0, 9, 0, 0, 0, 0,

            6, 0, 0, 1, 0, 0,
            0, 99, 0, 0, 0, 0,
            0, 2, 4, 0, 0, 0,
        ]);

    [Fact]
    public void Plan_HandmadeScores_KeepsWhatTheLayersHeadsSee()
    {
        using AttentionScores scores = Handmade();
        var policy = new CompressKV { Calibration = TwoLayers, Window = 2, Kernel = 1, Budget = Budget.FromRows(3) };

        CompressionPlan plan = policy.Plan(scores);

        // Below 32 rows a layer no error counts. Layer 0: head 1 sees most at 2. Layer 1: heads 0 and 2 see (6, 2, 4, 1) / 2.
        Assert.Equal([2, 4, 5], plan.Positions(0, 0).ToArray());
        Assert.Equal([0, 4, 5], plan.Positions(1, 0).ToArray());
    }

    [Fact]
    public void Plan_PooledScores_CountsZerosBeyondTheEnds()
    {
        using AttentionScores scores = StatisticScores.Of(
            1, 1, 1, 8, new WindowAttention(1), [3, 0, 0, 0, 0, 2, 1, 0]);
        var policy = new CompressKV
        {
            Calibration = new CompressKVCalibration(new HeadsByLayer([[0]]), [1]),
            Window = 1,
            Kernel = 3,
            Budget = Budget.FromRows(3),
        };

        CompressionPlan plan = policy.Plan(scores);

        // Thirds of 3 3 0 0 2 3 3: of the equal ones the earlier.
        Assert.Equal([0, 1, 7], plan.Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_ContextNoLongerThanTheWindow_KeepsTheMostRecent()
    {
        using AttentionScores scores = StatisticScores.Of(1, 2, 2, 6, new WindowAttention(8), new float[12]);
        var policy = new CompressKV { Calibration = new CompressKVCalibration(new HeadsByLayer([[0]]), [1]), Budget = Budget.FromRows(2) };

        Assert.Equal(CompressionPlan.Uniform(1, 2, 6, [4, 5]), policy.Plan(scores));
    }

    [Fact]
    public void Plan_NoCalibration_SaysThatItIsNeeded()
    {
        using AttentionScores scores = Handmade();

        ArgumentException error = Assert.Throws<ArgumentException>(() => new CompressKV().Plan(scores));

        Assert.Contains("Calibration", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1, "layers")]
    [InlineData(2, "head 3 of layer 1")]
    public void Plan_AnotherModelsCalibration_SaysWhatDoesNotFit(int layers, string part)
    {
        using AttentionScores scores = Handmade();
        HeadsByLayer heads = layers == 1 ? new([[0]]) : new([[0], [3]]);
        var policy = new CompressKV
        {
            Window = 2,
            Calibration = new CompressKVCalibration(heads, [.. Enumerable.Repeat(1.0 / layers, layers)]),
        };

        Assert.Contains(part, Assert.Throws<PlanException>(() => policy.Plan(scores)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Calibration_WrongInput_IsRefused()
    {
        HeadsByLayer heads = new([[0], [1]]);

        Assert.Throws<ArgumentException>(() => new CompressKVCalibration(heads, [1]));
        Assert.Throws<ArgumentException>(() => new CompressKVCalibration(heads, [0.5, 0.4]));
        Assert.Throws<ArgumentException>(() => new CompressKVCalibration(heads, [1.5, -0.5]));
        Assert.Throws<ArgumentException>(() => new CompressKVCalibration(heads, [double.NaN, 1]));
        Assert.Throws<ArgumentException>(() => new CompressKVCalibration(new HeadsByLayer([[0], []]), [0.5, 0.5]));
        Assert.Throws<ArgumentException>(() => new HeadsByLayer([]));
        Assert.Throws<ArgumentException>(() => new HeadsByLayer([[-1]]));
        Assert.Throws<ArgumentException>(() => new HeadsByLayer([[2, 2]]));
    }

    [Fact]
    public void Calibration_EqualNumbers_AreEqual()
    {
        CompressKVCalibration same = new(new HeadsByLayer([[1], [0, 2]]), [0.25, 0.75]);

        Assert.Equal(TwoLayers, same);
        Assert.Equal(TwoLayers.GetHashCode(), same.GetHashCode());
        Assert.NotEqual(TwoLayers, new CompressKVCalibration(new HeadsByLayer([[1], [2, 0]]), [0.25, 0.75]));
        Assert.NotEqual(TwoLayers, new CompressKVCalibration(new HeadsByLayer([[1], [0, 2]]), [0.75, 0.25]));
    }

    [Fact]
    public void ShareRows_HandmadeErrors_FollowsTheAlgorithm()
    {
        // m = 32, M = 120: 32 + round(0.9 * 8 * 3) = 54, 32 + round(2.4) = 34, 32; all fit.
        Assert.Equal([54, 34, 32], CompressKV.ShareRows([0.9, 0.1, 0], 40, 1000, _ => 1));

        // M = the context's 50: layer 0 stops there, the 4 rows left go round layers 1 and 2.
        Assert.Equal([50, 36, 34], CompressKV.ShareRows([0.9, 0.1, 0], 40, 50, _ => 1));

        // m = B: nothing to share.
        Assert.Equal([7, 7, 7], CompressKV.ShareRows([0.9, 0.1, 0], 7, 50, _ => 1));

        // Halves round to even: 32 + round(4.5) and 32 + round(1.5).
        Assert.Equal([36, 34], CompressKV.ShareRows([0.75, 0.25], 35, 1000, _ => 1));

        // 34, 33, 33 are one too many: it goes from the smallest error, of equal ones from the lower layer.
        Assert.Equal([34, 32, 33], CompressKV.ShareRows([0.6, 0.2, 0.2], 33, 1000, _ => 1));
    }

    [Fact]
    public void ShareRows_RandomErrors_MeetsBoundsAndTotal()
    {
        var random = new Random(17);
        for (int i = 0; i < 10_000; i++)
        {
            int layers = random.Next(1, 40);
            int tokens = random.Next(1, 500);
            int mean = random.Next(0, tokens + 1);
            int power = random.Next(0, 12);
            double[] errors = [.. Enumerable.Range(0, layers).Select(_ => Math.Pow(random.NextDouble(), power) + 1e-12)];
            double sum = errors.Sum();
            errors = [.. errors.Select(error => error / sum)];

            int[] rows = CompressKV.ShareRows(errors, mean, tokens, _ => 1);

            Assert.Equal((long)mean * layers, rows.Sum(own => (long)own));
            Assert.All(rows, own => Assert.InRange(own, Math.Min(32, mean), Math.Min(3L * mean, tokens)));
            Assert.Equal(ShareRowsByDefinition(errors, mean, tokens), rows);
        }
    }

    [Theory]
    [InlineData(0.5)]
    [InlineData(0.7)]
    [InlineData(0.8)]
    [InlineData(0.9)]
    public void ShareRows_GoldenErrors_GivesTheGoldenRows(double ratio)
    {
        JsonElement calibration = Read(Golden(), "compresskv_calibration.json");
        int[] expected = Ints(calibration.GetProperty("rows").GetProperty(ratio.ToString(CultureInfo.InvariantCulture)));

        Assert.Equal(expected, CompressKV.ShareRows(Calibration(calibration).LayerErrors, (int)CompressionRatio.Keep(1000, ratio), 1000, _ => 1));
    }

    [Theory]
    [InlineData("niah_single_2_0", 0.5)]
    [InlineData("niah_single_2_0", 0.8)]
    [InlineData("niah_multikey_1_1", 0.5)]
    [InlineData("niah_multikey_1_1", 0.8)]
    public void Plan_GoldenScores_GivesTheGoldenPlan(string prompt, double ratio)
    {
        string folder = Golden();
        JsonElement sizes = Read(Path.Combine(folder, prompt), "golden.json");
        int layers = sizes.GetProperty("n_layer").GetInt32();
        int heads = sizes.GetProperty("n_head").GetInt32();
        int tokens = sizes.GetProperty("n_context").GetInt32();
        JsonElement golden = Read(Path.Combine(folder, prompt), "compresskv.json")
            .GetProperty(ratio.ToString(CultureInfo.InvariantCulture));
        float[] scored = MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(Path.Combine(folder, prompt, "window8_sum.f32"))).ToArray();
        float[] sums = new float[layers * heads * tokens];
        for (int row = 0; row < layers * heads; row++)
        {
            scored.AsSpan(row * (tokens - 8), tokens - 8).CopyTo(sums.AsSpan(row * tokens));
        }

        // The golden masks are those of a layer: one KV head stands for all.
        using AttentionScores scores = StatisticScores.Of(layers, heads, 1, tokens, new WindowAttention(8), sums);
        var policy = new CompressKV { Calibration = Calibration(Read(folder, "compresskv_calibration.json")), Ratio = ratio };

        CompressionPlan plan = policy.Plan(scores);

        Assert.Equal(Ints(golden.GetProperty("rows")), plan.Counts.ToArray());
        int[][] kept = [.. golden.GetProperty("kept").EnumerateArray().Select(Ints)];
        Assert.Equal(kept, [plan.Positions(0, 0).ToArray(), plan.Positions(10, 0).ToArray(), plan.Positions(29, 0).ToArray()]);
        Assert.Equal(golden.GetProperty("kept_sha256").GetString(), GoldenScores.Sha256(plan));
    }

    // Row by row as Algorithm 1 reads, by sorting before every round.
    private static int[] ShareRowsByDefinition(double[] errors, int mean, int tokens)
    {
        int least = Math.Min(32, mean);
        int most = Math.Min(3 * mean, tokens);
        int[] rows = [.. errors.Select(error => (int)Math.Round(error * (mean - least) * errors.Length))];
        rows = [.. rows.Select(more => Math.Min(Math.Max(least + more, least), most))];
        int left = mean * errors.Length - rows.Sum();
        while (left != 0)
        {
            int sign = Math.Sign(left);
            foreach (int layer in Enumerable.Range(0, rows.Length).OrderBy(layer => -sign * errors[layer]).ThenBy(layer => layer).ToList())
            {
                if (left != 0 && rows[layer] != (sign > 0 ? most : least))
                {
                    rows[layer] += sign;
                    left -= sign;
                }
            }
        }

        return rows;
    }

    private static string Golden()
    {
        string? folder = Places.Shared is { } shared ? Path.Combine(shared, "goldens") : null;
        if (!Directory.Exists(folder))
        {
            Assert.Skip(Measurements.Subjects.Golden.Missing);
        }

        return folder;
    }

    private static JsonElement Read(string folder, string file)
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, file)));
        return document.RootElement.Clone();
    }

    private static int[] Ints(JsonElement array) => [.. array.EnumerateArray().Select(number => number.GetInt32())];

    private static CompressKVCalibration Calibration(JsonElement golden) => new(
        new HeadsByLayer(golden.GetProperty("heads").EnumerateArray().Select(Ints)),
        golden.GetProperty("layer_error").EnumerateArray().Select(error => error.GetDouble()));
}
