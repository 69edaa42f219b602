using System.Diagnostics;
using System.Globalization;
using System.Text;
using EdgeKV.Evaluation;
using EdgeKV.Measurements.Subjects;

namespace EdgeKV.Figures;

/// <summary>
/// The project's own results: runs of <c>edgekv eval</c> over RULER's development samples and one of <c>edgekv bench</c>, each in a folder of its own and gone
/// on with where it was cut short, and docs/experiments/results.md made of what lies there. Of runs that do not lie there the page keeps what it has.
/// </summary>
internal static class ResultsRun
{
    /// <summary>The first argument.</summary>
    public const string Verb = "results";

    private const string BenchName = "bench.json";
    private const string SpeedTitle = "Speed and memory";
    private const string Grid = "0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9";
    private const string High = "0.5,0.8,0.9,0.95";
    private const string Finer = "0.5,0.7,0.8,0.9,0.95";

    private static readonly string[] Main = ["global", "global:source=repeat", "kvzip", "kvcompose", "tova", "snapkv", "pyramidkv", "streaming-llm"];

    // Needles that the full cache finds at all, by text around them, and variable tracking.
    private static readonly string[] Tasks = ["niah_single_1", "niah_single_2", "niah_single_3", "niah_multikey_1", "niah_multikey_3", "vt"];

    // Those of them that the full cache answers at 2048 tokens too.
    private static readonly string[] Answered = ["niah_single_1", "niah_single_2", "niah_single_3", "niah_multikey_1", "vt"];

    private static readonly string[] Needles = ["niah_single_2", "niah_single_3", "niah_multikey_1", "niah_multikey_3"];

    // For long contexts, where every sample is dear.
    private static readonly string[] Few = ["niah_single_1", "niah_single_2", "niah_multikey_1"];

    // All registered policies, and wrappers of the more telling scorers.
    private static readonly string[] All =
    [
        .. Main, "global:source=both", "kvcompose-unstructured", "compresskv", "simlayerkv", "observed-attention", "h2o", "expected-attention", "capkv", "compactor",
        "knorm", "keydiff", "q-filters", "lagkv", "curdkv", "duo-attention", "razor-attention", "fastgen", "random", "ada", "critical", "critical-ada", "chunk",
        "chunk:scorer=kvcompose", "layer-budgets", "lu-kv", "lu-kv:scorer=keydiff",
    ];

    private static readonly string[] Sources = ["global", "global:source=learned", "global:source=repeat"];

    private static readonly Run[] Runs =
    [
        new("default-1024", "The default beside learned scores alone and the repeat pass, 1024 tokens", 1024, Answered, 20, Sources, Finer) { HasTimes = true },
        new("default-2048", "The default beside learned scores alone and the repeat pass, 2048 tokens", 2048, Answered, 20, Sources, Finer) { HasTimes = true },
        new("default-4096", "The default beside learned scores alone, 4096 tokens", 4096, Few, 20, ["global", "global:source=learned"], Finer) { HasTimes = true },
        new("1024", "1024 tokens", 1024, Tasks, 4, Main, Grid),
        new("2048", "2048 tokens", 2048, Tasks, 20, Main, Grid),
        new("4096", "4096 tokens", 4096, Few, 20, ["global", "kvcompose", "tova", "snapkv", "pyramidkv", "streaming-llm"], Grid),
        new("8192", "8192 tokens, learned scores alone: a pass does not fit the window beside the context", 8192, Few, 1, ["global:source=learned", "streaming-llm"], Grid),
        new("policies", "All policies, 1024 tokens", 1024, Needles, 2,
        [
            .. Main, "global:source=both", "kvcompose-unstructured", "compresskv", "simlayerkv", "observed-attention", "h2o", "expected-attention", "capkv", "knorm",
            "keydiff", "q-filters", "lagkv", "curdkv", "duo-attention", "razor-attention", "random", "ada", "critical",
            "critical-ada", "chunk", "chunk:scorer=kvcompose",
        ], High),
        new("policies-2048", "All policies, 2048 tokens, beside other work on that core", 2048, Few, 1, All, High) { HasTimes = true },
        new("policies-4096", "All policies, 4096 tokens, beside other work on that core", 4096, Few, 1, All, High) { HasTimes = true },
        new("newest", "LU-KV over several scorers, Compactor and FastGen, 1024 tokens", 1024, Needles, 1,
        [
            "global", "lu-kv", "lu-kv:scorer=snapkv", "lu-kv:scorer=keydiff", "lu-kv:scorer=global", "compactor", "fastgen", "ada:scorer=compactor",
        ], High),
        new("variants", "The default, varied, 1024 tokens", 1024, Needles, 2,
        [
            "global", "global:recent=32", "global:weight=value-norm", "global:weight=output-norm", "global:source=repeat", "global:source=repeat,weight=value-norm",
            "global:source=repeat,weight=output-norm", "critical-ada:scorer=global", "ada:scorer=global", "chunk:scorer=global", "ragged:scorer=global,head-floor=0.05",
            "ragged:scorer=global,head-floor=0.2", "ragged:scorer=global,layer-floor=0.1", "ragged:scorer=global,layer-floor=0.3",
            "ragged:scorer=global,row-multiple=16", "ragged:scorer=global,row-multiple=64", "ragged:scorer=global,row-multiple=256",
            "ragged:scorer=global,composed=true", "kvzip:chunk=256",
        ], High),
        new("merged", "The same with the values of removed rows merged into kept ones", 1024, Needles, 1,
            ["global", "global:source=repeat", "kvcompose", "snapkv", "random"], High, "--merge"),
    ];

    /// <summary>Measures what is not there yet and writes the page.</summary>
    /// <param name="folder">Where runs lie; made where it is not there.</param>
    /// <param name="threads">Threads; 0 = physical cores. Null: nothing is measured, the page is written of what is there.</param>
    /// <param name="only">Names of runs to measure; empty: all.</param>
    /// <returns>The exit code of the first command that failed, 2 where there is no run of a name, else 0.</returns>
    public static int Measure(string folder, int? threads, IReadOnlyCollection<string> only)
    {
        if (only.FirstOrDefault(name => name != BenchName && Runs.All(run => run.Name != name)) is { } unknown)
        {
            Console.Error.WriteLine($"There is no run {unknown}; there are {string.Join(", ", Runs.Select(run => run.Name))} and {BenchName}.");
            return 2;
        }

        string data = Path.Combine(Places.Shared ?? throw new DirectoryNotFoundException("shared/ruler is not here."), "ruler", "dev");
        Directory.CreateDirectory(folder);
        if (threads is { } count)
        {
            foreach (Run run in Runs.Where(run => only.Count == 0 || only.Contains(run.Name)))
            {
                if (Execute(Command(run, data, Path.Combine(folder, run.Name), count)) is not 0 and var failed)
                {
                    return failed;
                }
            }

            string bench = Path.Combine(folder, BenchName);
            if ((only.Count == 0 || only.Contains(BenchName)) && !File.Exists(bench) && Execute(["bench", "--depths", "4000", "--json", bench]) is not 0 and var code)
            {
                return code;
            }
        }

        string page = Path.Combine(Places.Checkout, "docs", "experiments", "results.md");
        File.WriteAllText(page, Page(folder, File.Exists(page) ? Sections(File.ReadAllText(page)) : []));
        Console.WriteLine(page);
        return 0;
    }

    private static List<string> Command(Run run, string data, string folder, int threads)
    {
        List<string> command = ["eval"];
        foreach (string task in run.Tasks)
        {
            command.AddRange(["--dataset", Path.Combine(data, Text($"{run.Length}"), task)]);
        }

        command.AddRange(["--policies", string.Join(',', run.Policies), "--ratios", run.Ratios, "--samples", Text($"{run.Samples}"), "--out", folder, "--threads", Text($"{threads}")]);
        if (run.Option is not null)
        {
            command.Add(run.Option);
        }

        if (Directory.Exists(folder))
        {
            command.Add("--resume");
        }

        return command;
    }

    private static int Execute(IEnumerable<string> arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(Path.Combine(Places.Checkout, "artifacts", "edgekv"), arguments) { UseShellExecute = false })!;
        process.WaitForExit();
        return process.ExitCode;
    }

    // The text below each heading, by the heading.
    private static Dictionary<string, string> Sections(string page) => page.Split("\n## ").Skip(1)
        .Select(section => section.Split('\n', 2)).ToDictionary(parts => parts[0].TrimEnd(), parts => parts[^1].Trim());

    private static string Page(string folder, Dictionary<string, string> before)
    {
        StringBuilder page = new();
        page.AppendLine("# Results").AppendLine();
        page.AppendLine("`./build.sh results` makes this page. What the figures are: [report.md](report.md), [bench.md](bench.md). RULER's development samples, drawn with seed 1; intervals are 95 %, over samples of each task;");
        page.AppendLine("an asterisk marks a difference whose interval leaves 0 out. At a ratio stands accuracy by the full cache's; differences are of accuracy as it is. Scores' costs are in prefills of the same sample and process, the time to the first token in that of the full cache, medians over the cells; a peak is the most positions");
        page.AppendLine("that a cache held at one time, by those of the context. `global`, alone or as a scorer, of sections dated before 2026-11-27 ranked by learned scores alone and kept no last rows: `global:source=learned,recent=0` now ([how they compare](learned-scores.md#a-general-question)).");
        foreach (Run run in Runs)
        {
            string path = Path.Combine(folder, run.Name);
            if (!File.Exists(Path.Combine(path, "results.jsonl")))
            {
                Keep(run.Title);
                continue;
            }

            IReadOnlyList<CellResult> cells = RunFolder.ReadResults(path);
            var statistics = RunStatistics.From(RunFolder.ReadManifest(path), cells);
            page.AppendLine().AppendLine(Text($"## {run.Title}")).AppendLine();
            Facts(page, run, statistics, cells);
            Write(page, run.HasAreas ? Areas(statistics, cells) : Levels(run, statistics, cells));
        }

        string bench = Path.Combine(folder, BenchName);
        if (File.Exists(bench))
        {
            Speed(page, BenchJson.Read(bench));
        }
        else
        {
            Keep(SpeedTitle);
        }

        return page.ToString();

        void Keep(string title)
        {
            if (before.TryGetValue(title, out string? section))
            {
                page.AppendLine().AppendLine(Text($"## {title}")).AppendLine().AppendLine(section);
            }
        }
    }

    private static void Facts(StringBuilder page, Run run, RunStatistics statistics, IReadOnlyList<CellResult> cells)
    {
        RunManifest manifest = statistics.Manifest;
        double tokens = cells.Where(cell => cell.Policy == CellResult.FullCache).Average(cell => cell.ContextTokens);
        int asked = run.Samples * run.Tasks.Length;
        page.Append(Text($"{statistics.Samples} samples{(statistics.Samples < asked ? Text($", of {asked} that were asked for,") : "")} of {string.Join(", ", run.Tasks)}; contexts of {tokens:0} tokens on average. The full cache answers {statistics.Full?.Budgets[0]?.Accuracy}. "));
        page.AppendLine(Text($"{manifest.Model}, {manifest.CacheType}, {(manifest.Threads == 1 ? "one thread" : manifest.Threads == 0 ? "all cores" : Text($"{manifest.Threads} threads"))}, {manifest.Machine}, {(manifest.ProfileSha256 is { } hash ? Text($"profile with SHA-256 {hash[..8]}…") : "no profile")}, {manifest.Started:yyyy-MM-dd}."));
        foreach (string note in ReportTables.Notes(statistics, run.HasAreas))
        {
            page.AppendLine().AppendLine(note);
        }

        page.AppendLine();
    }

    // The curve's area and what it is made of.
    private static ReportTable Areas(RunStatistics run, IReadOnlyList<CellResult> cells) => new(
        [
            "policy", "AUC", "less the default's", "0.5", "0.7", "0.8", "0.9", "r at −5 %", "−10 %", "scores cost", "peak",
        ],
        [
            .. run.Policies.OrderByDescending(policy => policy.Auc?.Value).Select(IReadOnlyList<string> (policy) =>
            [
                Code(policy.Policy),
                policy.Auc?.ToString() ?? "",
                Difference(run, policy, comparison => comparison.Auc),
                .. new[] { 0.5, 0.7, 0.8, 0.9 }.Select(ratio => Relative(policy, ratio)),
                .. Enumerable.Range(0, 2).Select(i => policy.MaximumCompression.Count > i ? Text($"{policy.MaximumCompression[i]:0.#}") : ""),
                Cost(policy, cells),
                Peak(policy, cells),
            ]),
        ]);

    private static ReportTable Levels(Run run, RunStatistics statistics, IReadOnlyList<CellResult> cells)
    {
        double[] ratios = [.. statistics.Budgets.Select(budget => budget.Ratio ?? 0).Where(ratio => ratio > 0)];
        return new(
            ["policy", .. ratios.Select(ratio => Text($"{ratio}")), "at 0.8 less the default", "at 0.9", .. run.HasTimes ? (string[])["scores cost", "first token"] : [], "peak", "failed"],
            [
                .. statistics.Policies.OrderByDescending(policy => ratios.Sum(ratio => At(policy, ratio)?.Relative?.Value ?? 0)).Select(IReadOnlyList<string> (policy) =>
                [
                    Code(policy.Policy),
                    .. ratios.Select(ratio => Relative(policy, ratio)),
                    Difference(statistics, policy, comparison => comparison.Budgets.FirstOrDefault(budget => budget.Budget is { } b && b.IsRatio(0.8))),
                    Difference(statistics, policy, comparison => comparison.Budgets.FirstOrDefault(budget => budget.Budget is { } b && b.IsRatio(0.9))),
                    .. run.HasTimes ? (string[])[Cost(policy, cells), FirstToken(policy, cells)] : [],
                    Peak(policy, cells),
                    Text($"{policy.Budgets.Sum(budget => budget?.Failed ?? 0):0;;}"),
                ]),
            ]);
    }

    private static string Difference(RunStatistics run, PolicyStatistics policy, Func<PairedComparison, PairedDifference?> part) =>
        run.Comparisons.FirstOrDefault(comparison => comparison.Policy == policy.Policy) is { } found && part(found) is { } paired
            ? Text($"{paired.Difference.Value:+0.00;−0.00;0.00} ({paired.Difference.Low:+0.00;−0.00;0.00} to {paired.Difference.High:+0.00;−0.00;0.00}){(paired.IsClear ? "*" : "")}")
            : "";

    private static BudgetStatistics? At(PolicyStatistics policy, double ratio) => policy.Budgets.FirstOrDefault(budget => budget is not null && budget.Budget.IsRatio(ratio));

    private static string Relative(PolicyStatistics policy, double ratio) => At(policy, ratio)?.Relative is { } relative ? Text($"{relative.Value:0.00}") : "";

    private static string Cost(PolicyStatistics policy, IReadOnlyList<CellResult> cells) =>
        Of(policy, cells) is { Length: > 0 } own ? Text($"{Measured.Of([.. own.Select(cell => cell.ScoreSeconds / cell.PrefillSeconds)]).Median:0.00}") : "";

    // Reading, scoring, planning, moving rows and the question, by the full cache's reading and question.
    private static string FirstToken(PolicyStatistics policy, IReadOnlyList<CellResult> cells)
    {
        Dictionary<(string, string, string), double> full = cells.Where(cell => cell.Policy == CellResult.FullCache)
            .ToDictionary(cell => (cell.Dataset, cell.Task, cell.Id), cell => cell.PrefillSeconds + cell.QuestionSeconds);
        return Of(policy, cells) is { Length: > 0 } own
            ? Text($"{Measured.Of([.. own.Select(cell => (cell.PrefillSeconds + cell.ScoreSeconds + cell.PlanSeconds + cell.ApplySeconds + cell.QuestionSeconds) / full[(cell.Dataset, cell.Task, cell.Id)])]).Median:0.00}")
            : "";
    }

    private static string Peak(PolicyStatistics policy, IReadOnlyList<CellResult> cells) =>
        Of(policy, cells) is { Length: > 0 } own ? Text($"{own.Average(cell => (double)cell.PeakPositions / cell.ContextTokens):0.00}") : "";

    private static CellResult[] Of(PolicyStatistics policy, IReadOnlyList<CellResult> cells) =>
        [.. cells.Where(cell => cell.Policy == policy.Policy && cell.Error is null)];

    private static void Speed(StringBuilder page, BenchReport bench)
    {
        page.AppendLine().AppendLine(Text($"## {SpeedTitle}")).AppendLine();
        page.AppendLine(Text($"`edgekv bench --depths 4000`, {bench.Machine}, load {bench.Load:0.0} at the start, {bench.Started:yyyy-MM-dd}. Speed-ups are over llama.cpp with the full cache, in turns;")
            + " the ideal is by the clock: the full cache's part of a step cut in proportion to the rows.").AppendLine();
        Write(page, new ReportTable(
            ["cache", "ratio", "MiB of rows", "tokens/s", "speed-up", "ideal", "% of it", "first token by full"],
            [
                .. bench.Series.SelectMany(series => series.Cells.Select(IReadOnlyList<string> (cell) =>
                [
                    Text($"{series.CacheType}"),
                    Text($"{cell.Ratio}"),
                    Text($"{cell.RowBytes / 1048576.0:0.0} of {series.Full.RowBytes / 1048576.0:0.0}"),
                    Text($"{cell.Decode.Median:0.0} of {series.Full.Decode.Median:0.0}"),
                    Text($"{cell.SpeedUp.Median:0.00}"),
                    Text($"{cell.IdealByTime.Median:0.00}"),
                    Text($"{cell.OfIdealByTime.Median * 100:0}"),
                    Text($"{cell.FirstTokenOverFull.Median:0.00}"),
                ])),
            ]));
        page.AppendLine().AppendLine(string.Join(
            ' ',
            bench.Series.Where(series => series.LearnedOverPrefill is not null && series.PassSeconds is not null).Select(series => Text(
                $"{series.CacheType}: learned scores make a prefill {series.LearnedOverPrefill!.Median:0.000} times as long, a repeat pass takes {series.PassSeconds!.Median * series.Prefill.Median / series.Depth:0.0} prefills."))));
    }

    private static void Write(StringBuilder page, ReportTable table)
    {
        page.AppendLine(Text($"| {string.Join(" | ", table.Columns)} |"));
        page.AppendLine(Text($"|{string.Concat(table.Columns.Select(_ => "---|"))}"));
        foreach (IReadOnlyList<string> row in table.Rows)
        {
            page.AppendLine(Text($"| {string.Join(" | ", row)} |"));
        }
    }

    private static string Code(string policy) => $"`{policy}`";

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    // Length: RULER's, which its contexts stay below with this model's tokenizer.
    private sealed record Run(string Name, string Title, int Length, string[] Tasks, int Samples, string[] Policies, string Ratios, string? Option = null)
    {
        public bool HasAreas => Ratios == Grid;

        // Whether times are told too.
        public bool HasTimes { get; init; }
    }
}
