namespace EdgeKV.Evaluation;

/// <summary>What a run took, and what it had to take at least.</summary>
/// <param name="Total">From its first sample to its last cell.</param>
/// <param name="Prefill">Reading every context once.</param>
/// <param name="Score">Scoring the contexts.</param>
/// <param name="Plan">Planning.</param>
/// <param name="Apply">Rewriting caches.</param>
/// <param name="Restore">Bringing back full caches, one for each cell.</param>
/// <param name="Answer">Feeding questions and decoding answers.</param>
public sealed record EvalCost(TimeSpan Total, TimeSpan Prefill, TimeSpan Score, TimeSpan Plan, TimeSpan Apply, TimeSpan Restore, TimeSpan Answer)
{
    /// <summary>Reading every context once and answering every cell: less is not possible.</summary>
    public TimeSpan Least => Prefill + Answer;
}
