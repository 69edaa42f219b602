using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using EdgeKV.Figures;
using EdgeKV.Testing;

// figures [OUTPUT_FOLDER [PART...]]     measures and writes figures.json and figures.md, to docs/ of the checkout by default
// figures picture RUN_JSON OUTPUT_SVG   draws the rows of a run of `edgekv ask --json`
// figures soundness FIRST               what the first form starts to try bad inputs
if (args is ["picture", var json, var svg])
{
    RowsPicture.Write(json, svg);
    return 0;
}

if (args is [SoundnessRun.Verb, var first])
{
    return SoundnessRun.Run(int.Parse(first, CultureInfo.InvariantCulture));
}

string folder = args.Length > 0 ? args[0] : Path.Combine(Places.Checkout, "docs");
long start = Stopwatch.GetTimestamp();
Table table = new();
Directory.CreateDirectory(folder);
await Measure.AllAsync(table, args.Skip(1).ToHashSet(), Save).ConfigureAwait(false);
Console.WriteLine($"{table.Failed} figures broke their bound; written to {folder}");
return table.Failed == 0 ? 0 : 1;

void Save()
{
    File.WriteAllText(Path.Combine(folder, "figures.json"), table.ToJson());
    File.WriteAllText(Path.Combine(folder, "figures.md"), table.ToMarkdown(Machine(), "./build.sh figures", Stopwatch.GetElapsedTime(start)));
}

static string Machine()
{
    const string Key = "model name";
    string processor = File.ReadLines("/proc/cpuinfo").FirstOrDefault(l => l.StartsWith(Key, StringComparison.Ordinal))?.Split(':')[1].Trim()
        ?? RuntimeInformation.ProcessArchitecture.ToString();
    return $"{processor}, {Environment.ProcessorCount} cores, {RuntimeInformation.OSDescription}, {RuntimeInformation.FrameworkDescription}";
}
