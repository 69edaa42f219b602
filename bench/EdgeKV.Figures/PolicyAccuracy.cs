using System.Globalization;
using System.Text.Json;
using EdgeKV.Evaluation;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Policies.Configuration;

namespace EdgeKV.Figures;

/// <summary>
/// Policies on the samples of 2048 tokens that the Python reference answered with the same model (shared/reference/accuracy.jsonl), by its rule for
/// answers. Sound where every mean comes within 8 points of the reference's.
/// </summary>
internal static class PolicyAccuracy
{
    private const int Length = 2048;
    private const double Tolerance = 0.08;

    private static readonly double[] Ratios = [0.5, 0.7, 0.8, 0.9];

    // By the reference's names. Its KVzip (kvpress) gives the first tokens nothing.
    private static readonly (string Reference, string Policy)[] Policies =
    [
        ("kvcompose", "kvcompose"),
        ("kvcompose_reference", "kvcompose:first-layer-largest=true"),
        ("kvcompose_unstructured", "kvcompose-unstructured"),
        ("kvzip", "kvzip:sinks=0"),
        ("snapkv", "snapkv"),
        ("tova", "tova"),
        ("knorm", "knorm"),
        ("streaming_llm", "streaming-llm"),
        ("ada_snapkv", "ada:scorer=snapkv"),
    ];

    /// <summary>Measures what is not in a folder yet, and puts the means and their distances into the table.</summary>
    /// <param name="table">The figures.</param>
    /// <param name="path">Folder of the run; gone on with when a run was cut short.</param>
    /// <param name="threads">Threads; 0 = physical cores.</param>
    public static async Task MeasureAsync(Table table, string path, int threads)
    {
        string[] keys = ["policy_accuracy_worst", "policy_accuracy_mean_difference", "policy_accuracy_full"];
        if (Places.Shared is not { } shared)
        {
            table.Missing("shared/reference is not here", keys);
            return;
        }

        Dictionary<string, JsonElement> reference = [];
        List<EvalSample> samples = [];
        foreach (string line in File.ReadLines(Path.Combine(shared, "reference", "accuracy.jsonl")))
        {
            using JsonDocument json = JsonDocument.Parse(line);
            string task = json.RootElement.GetProperty("task").GetString()!;
            int index = json.RootElement.GetProperty("index").GetInt32();
            RulerSample sample = RulerSample.Read(shared, Length, task, index);
            string id = index.ToString(CultureInfo.InvariantCulture);
            reference.Add($"{task} {id}", json.RootElement.Clone());
            samples.Add(new EvalSample
            {
                Dataset = $"ruler/{Length}",
                Task = task,
                Id = id,
                Context = sample.Context,
                Question = sample.Question,
                AnswerPrefix = sample.AnswerPrefix,
                Answers = sample.Answers,
                Metric = MetricNames.MatchAll,

                // Several numbers take more than one; shared/reference/README.md.
                NewTokens = task is "niah_multivalue" or "niah_multiquery" ? 64 : sample.NewTokens,
                StopsAtNewline = true,
                Source = $"accuracy.jsonl {task} {index}",
            });
        }

        using EdgeModel model = EdgeModel.Load(Places.Model);
        RunManifest manifest = new()
        {
            Version = RunManifest.CurrentVersion,
            EdgeKV = Versions.EdgeKV,
            LlamaCpp = Versions.LlamaCpp,
            Model = Path.GetFileName(model.Path),
            ModelDescription = model.Description,
            ModelSha256 = model.Fingerprint,
            Layers = model.Layers,
            KvHeads = model.Geometry.KvHeads[0],
            CacheType = "f16",
            Threads = threads,
            Datasets = ["shared/reference/accuracy.jsonl"],
            Policies = [.. Policies.Select(policy => policy.Policy)],
            Ratios = Ratios,
            Rows = [],
            Samples = samples.Count,
            Seed = 0,
            QueryAware = false,
            Command = "EdgeKV.Figures docs policies",
            Machine = Machine.Here.ToString(),
            Started = DateTimeOffset.UtcNow,
        };
        using (RunFolder folder = RunFolder.Open(path, manifest, resume: true))
        {
            EvalRun run = new(
                model,
                new EvalOptions
                {
                    Policies = [.. Policies.Select(policy => PolicyOptions.Parse(policy.Policy))],
                    Budgets = [.. Ratios.Select(EvalBudget.OfRatio)],
                    Threads = threads,
                },
                folder);
            await run.RunAsync(samples, new Progress()).ConfigureAwait(false);
        }

        Compare(table, RunFolder.ReadResults(path), reference);
    }

    private static void Compare(Table table, IReadOnlyList<CellResult> cells, Dictionary<string, JsonElement> reference)
    {
        ILookup<(string Policy, double Ratio), (CellResult Cell, double Reference)> columns = cells.ToLookup(
            cell => (cell.Policy, cell.Ratio!.Value),
            cell => (cell, Reference(reference[$"{cell.Task} {cell.Id}"], cell)));
        List<string[]> rows = [];
        List<double> differences = [];
        foreach ((string name, string policy) in Policies)
        {
            double[] ours = [.. Ratios.Select(ratio => columns[(policy, ratio)].Average(pair => pair.Cell.Score))];
            double[] theirs = [.. Ratios.Select(ratio => columns[(policy, ratio)].Average(pair => pair.Reference))];
            double[] difference = [.. ours.Zip(theirs, (a, b) => a - b)];

            // Told of, not judged: its variant that makes layer 0 the largest, which only its host needs; and its StreamingLLM beyond 0.5, which has
            // the scores of 0.5 at every ratio (as in the goldens) and so keeps any of the last half's rows: at 0.9 it misses needles of the last
            // tenth and finds one at 0.62.
            differences.AddRange(name switch
            {
                "kvcompose_reference" => [],
                "streaming_llm" => difference.Where((_, i) => Ratios[i] <= 0.5),
                _ => difference,
            });
            rows.Add([name, .. ours.Zip(theirs, (a, b) => string.Create(CultureInfo.InvariantCulture, $"{a:0.00} ({b:0.00})")), Table.Text(difference.Average())]);
        }

        (CellResult Cell, double Reference)[] full = [.. columns[(CellResult.FullCache, 0)]];
        table.AtMost(
            "policy_accuracy_worst",
            differences.Max(Math.Abs),
            Tolerance,
            $"largest distance of a policy's mean from the Python reference's, over {full.Length} samples at {string.Join(", ", Ratios.Select(Table.Text))}; its streaming_llm at 0.5 alone, see PolicyAccuracy.cs");
        table.Add("policy_accuracy_mean_difference", differences.Average(), "ours less the reference's, over policies and ratios: none is lower throughout where this is near 0");
        table.Add(
            "policy_accuracy_full",
            full.Average(pair => pair.Cell.Score),
            $"full cache; the reference's {Table.Text(full.Average(pair => pair.Reference))}; another score in {full.Count(pair => pair.Cell.Score != pair.Reference)} samples");
        table.Detail(
            $"Accuracy by policy, RULER {Length}, ours (the Python reference's)",
            ["policy", .. Ratios.Select(Table.Text), "mean difference"],
            rows);
        table.Detail(
            "Full cache: samples that ours and the reference score differently",
            ["sample", "ours", "reference", "our answer", "right"],
            full.Where(pair => pair.Cell.Score != pair.Reference).Select(pair => new[]
            {
                $"{pair.Cell.Task} {pair.Cell.Id}", Table.Text(pair.Cell.Score), Table.Text(pair.Reference), $"`{pair.Cell.Answer!.ReplaceLineEndings(" ").Trim()}`",
                string.Join(' ', RulerSample.Read(Places.Shared!, Length, pair.Cell.Task, int.Parse(pair.Cell.Id, CultureInfo.InvariantCulture)).Answers),
            }));
    }

    private static double Reference(JsonElement sample, CellResult cell) => cell.Policy == CellResult.FullCache
        ? sample.GetProperty("full").GetDouble()
        : sample.GetProperty("scores").GetProperty(string.Create(
            CultureInfo.InvariantCulture, $"{Policies.First(policy => policy.Policy == cell.Policy).Reference}@{cell.Ratio}")).GetDouble();

    private sealed class Progress : IProgress<EvalProgress>
    {
        public void Report(EvalProgress value)
        {
            if (value.Cells % (1 + (Policies.Length * Ratios.Length)) == 0)
            {
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{value.Cells} of {value.TotalCells} cells, {value.Remaining?.TotalMinutes.ToString("0", CultureInfo.InvariantCulture) ?? "?"} min to go"));
            }
        }
    }
}
