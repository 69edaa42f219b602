using System.Globalization;
using EdgeKV;
using EdgeKV.Evaluation;
using EdgeKV.Figures;
using EdgeKV.Measurements;
using EdgeKV.Measurements.Subjects;
using LLama.Native;

// figures [OUTPUT_FOLDER [PART...]]     measures and writes figures.json and figures.md, to docs/experiments by default; where parts are
//                                       named, the figures of the others stay as they are
// figures picture RUN_JSON OUTPUT_SVG   draws the rows of a run of `edgekv ask --json`
// figures variants TOKENS               learns maps in several ways from so many tokens and prints what they keep (docs/experiments/learned-scores.md)
// figures compresskv THREADS [PROMPTS [CHECKPOINT]]
//                                       compares CompressKV's calibration with the golden one, over its first prompts or all (docs/guide/calibration-tables.md)
// figures results FOLDER [THREADS [RUN...]]
//                                       measures what docs/experiments/results.md shows, all or the named runs, gone on with in FOLDER, and writes it; without
//                                       THREADS writes it of what is there; runs that are not stay as the page has them
// figures soundness FIRST               what the first form starts to try bad inputs
// figures device NUMBER                 what it starts to measure one case on a device
// figures learned-speed                 what it starts to measure the speed of learned scores on stock's ggml
// llama.cpp tells standard error everything that it does.
EdgeKVRuntime.Use();
NativeLogConfig.llama_log_set(static (_, _) => { });

if (args is ["picture", var json, var svg])
{
    RowsPicture.Write(json, svg);
    return 0;
}

if (args is ["variants", var tokens])
{
    IReadOnlyList<VariantResult> results = await Variants.MeasureAsync(int.Parse(tokens, CultureInfo.InvariantCulture), Console.WriteLine).ConfigureAwait(false);
    Console.WriteLine($"\n| map ({results[0].Right} samples) | {string.Join(" | ", results[0].Relative.Keys.Select(Table.Text))} |\n|---{string.Concat(results[0].Relative.Select(_ => "|---"))}|");
    foreach (VariantResult result in results)
    {
        Console.WriteLine($"| {result.Name} | {string.Join(" | ", result.Relative.Values.Select(v => v.ToString("0.00", CultureInfo.InvariantCulture)))} |");
    }

    return 0;
}

if (args is [CompressKVRun.Verb, var threads, .. var rest])
{
    int prompts = rest is [var count, ..] ? int.Parse(count, CultureInfo.InvariantCulture) : int.MaxValue;
    return await CompressKVRun.RunAsync(int.Parse(threads, CultureInfo.InvariantCulture), prompts, rest.ElementAtOrDefault(1)).ConfigureAwait(false);
}

if (args is [ResultsRun.Verb, var runs, .. var how])
{
    int? asked = how is [var count, ..] ? int.Parse(count, CultureInfo.InvariantCulture) : null;
    return ResultsRun.Measure(runs, asked, how.Skip(1).ToHashSet());
}

if (args is [SoundnessRun.Verb, var first])
{
    return SoundnessRun.Run(int.Parse(first, CultureInfo.InvariantCulture));
}

if (args is [DeviceRun.Verb, var number])
{
    return DeviceRun.Run(int.Parse(number, CultureInfo.InvariantCulture));
}

if (args is [LearnedSpeedRun.Verb])
{
    return await LearnedSpeedRun.RunAsync().ConfigureAwait(false);
}

// A form cut short is not a folder to measure everything into.
if (args is ["picture" or "variants" or CompressKVRun.Verb or ResultsRun.Verb or SoundnessRun.Verb or DeviceRun.Verb, ..])
{
    Console.Error.WriteLine($"{args[0]} takes other arguments: the head of bench/EdgeKV.Figures/Program.cs lists them.");
    return 2;
}

string folder = args.Length > 0 ? args[0] : Path.Combine(Places.Checkout, "docs", "experiments");
Table table = new();
Directory.CreateDirectory(folder);
if (args.Length > 1 && File.Exists(Path.Combine(folder, "figures.json")))
{
    table.Keep(File.ReadAllText(Path.Combine(folder, "figures.json")), File.ReadLines(Path.Combine(folder, "figures.md")));
}

await Measure.AllAsync(table, args.Skip(1).ToHashSet(), Save).ConfigureAwait(false);
Console.WriteLine($"{table.Failed} figures broke their bound; written to {folder}");
return table.Failed == 0 ? 0 : 1;

void Save()
{
    File.WriteAllText(Path.Combine(folder, "figures.json"), table.ToJson());
    File.WriteAllText(Path.Combine(folder, "figures.md"), table.ToMarkdown(Machine.Here.ToString()));
}
