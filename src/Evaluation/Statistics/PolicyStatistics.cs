namespace EdgeKV.Evaluation;

/// <summary>What a policy gave over all budgets.</summary>
public sealed record PolicyStatistics
{
    /// <summary>The policy with its options, or <see cref="CellResult.FullCache"/>.</summary>
    public required string Policy { get; init; }

    /// <summary>By budget, in the run's order; null where the policy has no scores.</summary>
    public required IReadOnlyList<BudgetStatistics?> Budgets { get; init; }

    /// <summary>The first cell that failed, in the run's order; null: none did.</summary>
    public required CellResult? FirstFailed { get; init; }

    /// <summary>Area under relative accuracy over <see cref="RunStatistics.Curve"/>; null where a point is not there.</summary>
    public required Estimate? Auc { get; init; }

    /// <summary>The most compression at each of <see cref="CompressionCurve.Tolerances"/>; empty where a point is not there.</summary>
    public required IReadOnlyList<double> MaximumCompression { get; init; }

    /// <summary>Seconds to the first token, means over samples and budgets.</summary>
    public required StageSeconds Stages { get; init; }

    /// <summary>The most positions that the cache held at one time, over all samples.</summary>
    public required long PeakPositions { get; init; }
}
