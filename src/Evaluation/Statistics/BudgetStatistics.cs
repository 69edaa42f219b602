namespace EdgeKV.Evaluation;

/// <summary>What a policy gave at one budget, or the full cache. Failed cells count in <see cref="Failed"/> only.</summary>
public sealed record BudgetStatistics
{
    /// <summary>The budget; ratio 0 for the full cache.</summary>
    public required EvalBudget Budget { get; init; }

    /// <summary>Cells that have a score.</summary>
    public required int Samples { get; init; }

    /// <summary>Cells that have none, and say why.</summary>
    public required int Failed { get; init; }

    /// <summary>The unweighted mean over tasks; null where a task has no score. Perplexities are apart.</summary>
    public required Estimate? Accuracy { get; init; }

    /// <summary>Accuracy over the full cache's, over the tasks that the full cache answers at all; null where either is not there.</summary>
    public required Estimate? Relative { get; init; }

    /// <summary>The mean score of each of the run's tasks, of a perplexity the geometric mean; null where there is no score.</summary>
    public required IReadOnlyList<Estimate?> Tasks { get; init; }

    /// <summary>The share of the rows that went, mean over samples.</summary>
    public required double RatioAchieved { get; init; }

    /// <summary>Bytes of the context's rows before, mean over samples.</summary>
    public required double FullBytes { get; init; }

    /// <summary>Bytes of the context's rows after, mean over samples.</summary>
    public required double Bytes { get; init; }

    /// <summary>The share of its rows that each layer keeps, mean over samples; empty for the full cache.</summary>
    public required IReadOnlyList<double> LayerShares { get; init; }

    /// <summary>Tokens of all answers over the seconds of decoding them; null where nothing was decoded.</summary>
    public required double? TokensPerSecond { get; init; }
}
