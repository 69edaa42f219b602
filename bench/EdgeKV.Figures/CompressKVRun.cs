using System.Globalization;
using System.Text.Json;
using EdgeKV.Calibration;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Policies;
using EdgeKV.Policies.Scorers;
using EdgeKV.Profiles;

namespace EdgeKV.Figures;

/// <summary>
/// CompressKV's table over the prompts of the golden calibration, beside what the reference found there: rank correlation of head scores, errors
/// of layers, heads chosen (docs/guide/calibration-tables.md).
/// </summary>
internal static class CompressKVRun
{
    public const string Verb = "compresskv";

    /// <param name="threads">Threads of the engine.</param>
    /// <param name="count">Prompts to take, the first ones; the reference's numbers are of all 60.</param>
    /// <param name="checkpoint">Where to write how far it is; null: nowhere.</param>
    public static async Task<int> RunAsync(int threads, int count, string? checkpoint)
    {
        if (Places.Shared is not { } shared)
        {
            Console.WriteLine(Golden.Missing);
            return 1;
        }

        using JsonDocument golden = JsonDocument.Parse(await File.ReadAllBytesAsync(Path.Combine(shared, "goldens", "compresskv_calibration.json")).ConfigureAwait(false));
        JsonElement root = golden.RootElement;
        NeedlePrompt[] prompts = [.. root.GetProperty("samples").EnumerateArray().Take(count).Select(sample => new NeedlePrompt(
            [.. sample.GetProperty("tokens").EnumerateArray().Select(token => token.GetInt32())],
            sample.GetProperty("span")[0].GetInt32(),
            sample.GetProperty("span")[1].GetInt32()))];

        using EdgeModel model = EdgeModel.Load(Places.Model);
        using CompressKVTable calibration = new(model, new CalibrationOptions { Threads = threads }, prompts, "the golden calibration's prompts");
        ProfileTable table = await new TableRun(calibration, model, checkpoint).RunAsync(
            (stage, share) => Console.Error.WriteLine($"{stage} {share:P0}"), CancellationToken.None).ConfigureAwait(false);

        double[] expected = [.. root.GetProperty("head_scores").EnumerateArray().SelectMany(Numbers)];
        double[] scores = [.. table.Array(CompressKVCalibration.HeadScores, 2).Values.ToArray().Select(score => (double)score)];
        double[] expectedErrors = Numbers(root.GetProperty("layer_error"));
        double[] errors = [.. table.Array(CompressKVCalibration.Errors, 1).Values.ToArray().Select(error => (double)error)];
        double[] off = [.. errors.Zip(expectedErrors, (own, other) => Math.Abs(own / other - 1))];
        HeadsByLayer heads = CompressKVCalibration.Of(table).Heads;
        int same = root.GetProperty("heads").EnumerateArray().Index().Sum(
            layer => layer.Item.EnumerateArray().Count(head => heads[layer.Index].Contains(head.GetInt32())));
        int all = root.GetProperty("heads").EnumerateArray().Sum(layer => layer.GetArrayLength());

        CultureInfo culture = CultureInfo.InvariantCulture;
        Console.WriteLine($"counted: {table.Provenance["counted"]} (reference: {root.GetProperty("counted")})");
        Console.WriteLine(string.Create(culture, $"errors: {table.Provenance["errors"]}"));
        Console.WriteLine(string.Create(culture, $"head scores: rank correlation {RankCorrelation(scores, expected):0.0000} over {scores.Length} heads"));
        Console.WriteLine(string.Create(culture, $"heads: {same} of {all} of the reference's"));
        Console.WriteLine(string.Create(culture, $"layer errors: off by {off.Average():P1} on average, {off.Max():P1} at most (layer {Array.IndexOf(off, off.Max())}); by layer {string.Join(' ', off.Select(share => share.ToString("P1", CultureInfo.InvariantCulture).Replace(" ", null, StringComparison.Ordinal)))}"));
        return 0;
    }

    private static double[] Numbers(JsonElement array) => [.. array.EnumerateArray().Select(number => number.GetDouble())];

    // Spearman's, ties having their mean rank.
    private static double RankCorrelation(double[] first, double[] second)
    {
        double[] x = Ranks(first);
        double[] y = Ranks(second);
        double mean = (x.Length - 1) / 2.0;
        double product = x.Zip(y, (a, b) => (a - mean) * (b - mean)).Sum();
        return product / Math.Sqrt(x.Sum(a => (a - mean) * (a - mean)) * y.Sum(b => (b - mean) * (b - mean)));

        static double[] Ranks(double[] values) =>
            Array.ConvertAll(values, value => values.Count(other => other < value) + (values.Count(other => other == value) - 1) / 2.0);
    }
}
