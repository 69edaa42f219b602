namespace EdgeKV.Evaluation;

/// <summary>Two policies on the same samples: those that both, and the full cache, have a score for at every budget of both.</summary>
/// <param name="Policy">The policy.</param>
/// <param name="Baseline">What it is compared with.</param>
/// <param name="Samples">Samples that count.</param>
/// <param name="Budgets">By budget, those that both have.</param>
/// <param name="Auc">Of the areas; null where the run has no curve, or one of them lacks a point.</param>
public sealed record PairedComparison(string Policy, string Baseline, int Samples, IReadOnlyList<PairedDifference> Budgets, PairedDifference? Auc);

/// <summary>How much a policy is above its baseline.</summary>
/// <param name="Budget">The budget; null for the area.</param>
/// <param name="Difference">Accuracy of the policy less that of the baseline, or area less area; the interval is of the difference.</param>
/// <param name="Wins">Samples on which the policy scores more; for the area, has the larger one under its own scores.</param>
/// <param name="Ties">Samples on which both score the same.</param>
/// <param name="Losses">Samples on which the baseline scores more.</param>
public sealed record PairedDifference(EvalBudget? Budget, Estimate Difference, int Wins, int Ties, int Losses)
{
    /// <summary>Whether the interval leaves 0 out.</summary>
    public bool IsClear => Difference.Low > 0 || Difference.High < 0;
}
