using System.Globalization;
using System.Runtime.InteropServices;
using EdgeKV.Figures;
using EdgeKV.Testing;

// figures [OUTPUT_FOLDER [PART...]]     measures and writes figures.json and figures.md, to docs/ of the checkout by default; where parts are
//                                       named, the figures of the others stay as they are
// figures picture RUN_JSON OUTPUT_SVG   draws the rows of a run of `edgekv ask --json`
// figures soundness FIRST               what the first form starts to try bad inputs
// figures device NUMBER                 what it starts to measure one case on a device
if (args is ["picture", var json, var svg])
{
    RowsPicture.Write(json, svg);
    return 0;
}

if (args is [SoundnessRun.Verb, var first])
{
    return SoundnessRun.Run(int.Parse(first, CultureInfo.InvariantCulture));
}

if (args is [DeviceRun.Verb, var number])
{
    return DeviceRun.Run(int.Parse(number, CultureInfo.InvariantCulture));
}

string folder = args.Length > 0 ? args[0] : Path.Combine(Places.Checkout, "docs");
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
    File.WriteAllText(Path.Combine(folder, "figures.md"), table.ToMarkdown(Machine()));
}

static string Machine()
{
    const string Key = "model name";
    string processor = File.ReadLines("/proc/cpuinfo").FirstOrDefault(l => l.StartsWith(Key, StringComparison.Ordinal))?.Split(':')[1].Trim()
        ?? RuntimeInformation.ProcessArchitecture.ToString();
    return $"{processor}, {Environment.ProcessorCount} cores, {RuntimeInformation.OSDescription}, {RuntimeInformation.FrameworkDescription}";
}
