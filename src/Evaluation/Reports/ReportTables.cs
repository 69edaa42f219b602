namespace EdgeKV.Evaluation;

/// <summary>The tables of a run: for people in the report and at the end of a run, and as CSV for programs.</summary>
public static class ReportTables
{
    private const string None = "–";
    private const double MiB = 1024 * 1024;

    /// <summary>A row for each policy, largest area first: area, maximum compression, what the scores cost, and the peak.</summary>
    /// <param name="run">The run.</param>
    public static ReportTable Policies(RunStatistics run)
    {
        ArgumentNullException.ThrowIfNull(run);
        List<string> columns = ["policy"];
        if (run.Curve is { } curve)
        {
            columns.Add(curve.AucName);
            columns.AddRange(CompressionCurve.Tolerances.Select(tolerance => Text($"r at −{tolerance * 100:0}\u00a0%")));
        }

        columns.AddRange(["score, s", "first token, s", "peak positions"]);
        return new ReportTable(
            columns,
            [
                .. Ordered(run).Select(IReadOnlyList<string> (policy) =>
                [
                    policy.Policy,
                    .. run.Curve is null ? [] : (IEnumerable<string>)
                    [
                        policy.Auc?.ToString() ?? None,
                        .. CompressionCurve.Tolerances.Select((_, i) => policy.MaximumCompression.Count > i ? Text($"{policy.MaximumCompression[i]:0.##}") : None),
                    ],
                    Text($"{policy.Stages.Score:0.00}"),
                    Text($"{policy.Stages.FirstToken:0.00}"),
                    Text($"{policy.PeakPositions}"),
                ]),
            ]);
    }

    /// <summary>A row for each policy: accuracy with its interval, of the full cache and at every budget.</summary>
    /// <param name="run">The run.</param>
    /// <param name="intervals">Whether the intervals stand beside the means.</param>
    public static ReportTable Accuracy(RunStatistics run, bool intervals = true) => ByBudget(
        run, budget => budget.Accuracy is { } accuracy ? intervals ? accuracy.ToString() : Text($"{accuracy.Value:0.00}") : None);

    /// <summary>A row for each task and policy: the mean score at every budget; perplexities or all others.</summary>
    /// <param name="run">The run.</param>
    /// <param name="perplexity">Which of the two.</param>
    public static ReportTable Tasks(RunStatistics run, bool perplexity)
    {
        ArgumentNullException.ThrowIfNull(run);
        List<IReadOnlyList<string>> rows = [];
        for (int task = 0; task < run.Tasks.Count; task++)
        {
            if (run.Tasks[task].IsPerplexity != perplexity)
            {
                continue;
            }

            string full = Score(run.Full?.Budgets[0], task);
            rows.AddRange(Ordered(run).Select(IReadOnlyList<string> (policy) =>
                [run.Tasks[task].ToString(), policy.Policy, full, .. policy.Budgets.Select(budget => Score(budget, task))]));
        }

        return new ReportTable(["task", "policy", CellResult.FullCache, .. run.Budgets.Select(budget => budget.ToString())], rows);

        static string Score(BudgetStatistics? budget, int task) => budget?.Tasks[task] is { } estimate ? Text($"{estimate.Value:0.00}") : None;
    }

    /// <summary>A row for each policy: the difference to the baseline at every budget and of the areas, with wins, ties and losses.</summary>
    /// <param name="run">The run.</param>
    public static ReportTable Comparisons(RunStatistics run)
    {
        ArgumentNullException.ThrowIfNull(run);
        IEnumerable<PairedComparison> ordered =
            Ordered(run).Select(policy => run.Comparisons.FirstOrDefault(comparison => comparison.Policy == policy.Policy)).OfType<PairedComparison>();
        return new ReportTable(
            ["policy", "samples", .. run.Curve is { } curve ? [curve.AucName] : (IEnumerable<string>)[], .. run.Budgets.Select(budget => budget.ToString())],
            [
                .. ordered.Select(IReadOnlyList<string> (comparison) =>
                [
                    comparison.Policy,
                    Text($"{comparison.Samples}"),
                    .. run.Curve is null ? [] : (IEnumerable<string>)[Paired(comparison.Auc)],
                    .. run.Budgets.Select(budget => Paired(comparison.Budgets.FirstOrDefault(difference => difference.Budget == budget))),
                ]),
            ]);

        static string Paired(PairedDifference? paired) => paired is null
            ? None
            : Text($"{Signed(paired.Difference.Value)} ({Signed(paired.Difference.Low)} to {Signed(paired.Difference.High)}){(paired.IsClear ? "*" : "")}\n")
                + Text($"{paired.Wins}/{paired.Ties}/{paired.Losses}");

        static string Signed(double value) => Text($"{value:+0.00;−0.00;0.00}");
    }

    /// <summary>A row for each policy: MiB of the context's rows, of the full cache and at every budget.</summary>
    /// <param name="run">The run.</param>
    public static ReportTable Memory(RunStatistics run) => ByBudget(run, budget => Text($"{budget.Bytes / MiB:0.00}"));

    /// <summary>A row for each policy: tokens per second of decoding, from the full cache and at every budget.</summary>
    /// <param name="run">The run.</param>
    public static ReportTable Speed(RunStatistics run) => ByBudget(run, budget => budget.TokensPerSecond is { } speed ? Text($"{speed:0.0}") : None);

    /// <summary>A row for each policy: seconds of every stage up to the first token.</summary>
    /// <param name="run">The run.</param>
    public static ReportTable Stages(RunStatistics run)
    {
        ArgumentNullException.ThrowIfNull(run);
        return new ReportTable(
            ["policy", "prefill, s", "score, s", "plan, s", "apply, s", "question, s", "first token, s"],
            [
                .. WithFull(run).Select(IReadOnlyList<string> (policy) =>
                [
                    policy.Policy,
                    .. new[] { policy.Stages.Prefill, policy.Stages.Score, policy.Stages.Plan, policy.Stages.Apply, policy.Stages.Question, policy.Stages.FirstToken }
                        .Select(seconds => Text($"{seconds:0.000}")),
                ]),
            ]);
    }

    /// <summary>What a reader must know before the figures: interruptions, failures, tasks left out, points that are not the grid's.</summary>
    /// <param name="run">The run.</param>
    /// <param name="areas">Whether areas are shown, so that their points matter.</param>
    public static IReadOnlyList<string> Notes(RunStatistics run, bool areas = true)
    {
        ArgumentNullException.ThrowIfNull(run);
        List<string> notes = [];
        if (run.Manifest.QueryAware)
        {
            notes.Add("Policies saw the question when they compressed. Such figures cannot be compared with those of runs in which they did not.");
        }

        if (run.Manifest.Merge)
        {
            notes.Add("The values of removed rows were merged into kept ones.");
        }

        if (run.Missing > 0)
        {
            notes.Add(Text($"The run is not complete: {run.Missing} cells are missing. Means are over the samples that are there."));
        }

        foreach (PolicyStatistics policy in WithFull(run))
        {
            if (policy.FirstFailed is { } first)
            {
                int failed = policy.Budgets.Sum(budget => budget?.Failed ?? 0);
                string subject = failed == 1 ? "1 cell failed and is" : Text($"{failed} cells failed and are");
                notes.Add($"{policy.Policy}: {subject} left out of its means. {(failed == 1 ? "The reason" : "The first one's reason")}: {Reason(first)}.");
            }
        }

        if (run.LeftOut.Count > 0)
        {
            notes.Add($"Left out of relative figures, because the full cache never answers: {string.Join(", ", run.LeftOut)}.");
        }

        if (areas && run.Curve is { IsGrid: false } curve)
        {
            string points = string.Join(", ", curve.Ratios.Select(ratio => Text($"{ratio:0.######}")));
            notes.Add($"The run has not the whole grid 0, 0.1, …, 0.9. Areas are by trapezoids over {points}, and compare with no run of other ratios.");
        }

        return notes;
    }

    /// <summary>Why a run has nothing to compare: all cells of its policies failed, or of the full cache where there are no others. Null: it has something.</summary>
    /// <param name="run">The run.</param>
    public static string? Failure(RunStatistics run)
    {
        ArgumentNullException.ThrowIfNull(run);
        PolicyStatistics[] measured = run.Policies.Count > 0 ? [.. run.Policies] : [.. new[] { run.Full }.OfType<PolicyStatistics>()];
        if (measured.Any(policy => policy.Budgets.Any(budget => budget is { Samples: > 0 })) || measured.FirstOrDefault()?.FirstFailed is not { } first)
        {
            return null;
        }

        int failed = measured.Sum(policy => policy.Budgets.Sum(budget => budget?.Failed ?? 0));
        string budget = first.Policy == CellResult.FullCache ? string.Empty : $" at {EvalBudget.Of(first)}";
        return Text($"all {failed} cells {(run.Policies.Count > 0 ? "of policies " : string.Empty)}failed; {first.Policy}{budget}: {Reason(first)}.");
    }

    private static string Reason(CellResult failed) => failed.Error?.TrimEnd('.') ?? "none was written down";

    /// <summary>Policies, the largest area first; those without one after them, in the run's order.</summary>
    internal static IEnumerable<PolicyStatistics> Ordered(RunStatistics run) =>
        run.Policies.OrderByDescending(policy => policy.Auc?.Value ?? double.NegativeInfinity);

    internal static IEnumerable<PolicyStatistics> WithFull(RunStatistics run) => run.Full is { } full ? Ordered(run).Prepend(full) : Ordered(run);

    private static ReportTable ByBudget(RunStatistics run, Func<BudgetStatistics, string> cell)
    {
        ArgumentNullException.ThrowIfNull(run);
        return new ReportTable(
            ["policy", CellResult.FullCache, .. run.Budgets.Select(budget => budget.ToString())],
            [.. Ordered(run).Select(IReadOnlyList<string> (policy) => [policy.Policy, Cell(run.Full?.Budgets[0]), .. policy.Budgets.Select(Cell)])]);

        string Cell(BudgetStatistics? budget) => budget is { Samples: > 0 } ? cell(budget) : None;
    }

    private static string Text(FormattableString text) => FormattableString.Invariant(text);
}
