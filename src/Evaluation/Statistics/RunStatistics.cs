namespace EdgeKV.Evaluation;

/// <summary>Everything that a run's results say: accuracy, areas, intervals, comparisons, memory and speed.</summary>
public sealed record RunStatistics
{
    /// <summary>The policy that others are compared with.</summary>
    public const string DefaultBaseline = "global";

    /// <summary>What was asked.</summary>
    public required RunManifest Manifest { get; init; }

    /// <summary>Budgets of all policies, least compression first; the full cache's is not among them.</summary>
    public required IReadOnlyList<EvalBudget> Budgets { get; init; }

    /// <summary>The points of relative figures; null where rows were given.</summary>
    public required CompressionCurve? Curve { get; init; }

    /// <summary>All tasks.</summary>
    public required IReadOnlyList<TaskName> Tasks { get; init; }

    /// <summary>Tasks that the full cache answers never, and that relative figures leave out.</summary>
    public required IReadOnlyList<TaskName> LeftOut { get; init; }

    /// <summary>Samples of all tasks.</summary>
    public required int Samples { get; init; }

    /// <summary>Cells that a sample should have and has not: the run was interrupted.</summary>
    public required int Missing { get; init; }

    /// <summary>The full cache; null where the run has none yet.</summary>
    public required PolicyStatistics? Full { get; init; }

    /// <summary>Policies in the order of the run.</summary>
    public required IReadOnlyList<PolicyStatistics> Policies { get; init; }

    /// <summary>Every other policy against the baseline; empty where the run has no baseline.</summary>
    public required IReadOnlyList<PairedComparison> Comparisons { get; init; }

    /// <summary>By policy and budget, the full cache first; empty where no sample has a depth.</summary>
    public required IReadOnlyList<NeedleMap> Needles { get; init; }

    /// <summary>How intervals were found.</summary>
    public required Bootstrap Bootstrap { get; init; }

    /// <summary>Of a run's results.</summary>
    /// <param name="manifest">What was asked.</param>
    /// <param name="results">Lines of results in their order; of two for one cell the later one counts.</param>
    /// <param name="bootstrap">How intervals are found; null: as <see cref="Evaluation.Bootstrap"/> says.</param>
    /// <param name="baseline">The policy that others are compared with, by its name alone or with its options.</param>
    /// <exception cref="ReportException">There are no results, or some that no mean can be taken of.</exception>
    public static RunStatistics From(
        RunManifest manifest, IReadOnlyList<CellResult> results, Bootstrap? bootstrap = null, string baseline = DefaultBaseline)
    {
        ArgumentNullException.ThrowIfNull(manifest);
        ArgumentNullException.ThrowIfNull(results);
        ArgumentNullException.ThrowIfNull(baseline);
        if (results.Count == 0)
        {
            throw new ReportException("The run has no results yet; report it when a sample is done.");
        }

        return new RunAnalysis(manifest, ScoreTable.From(results, manifest.Policies), bootstrap ?? new Bootstrap()).Analyse(baseline);
    }
}
