using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Scoring;

namespace EdgeKV.Policies;

/// <summary>
/// Decides which rows of a KV cache stay. Pure: the same scores give the same plan, nothing is kept between calls, any number of threads
/// may plan at once.
/// </summary>
public interface ICompressionPolicy
{
    /// <summary>The name under which the registry knows it.</summary>
    string Name { get; }

    /// <summary>How much may stay.</summary>
    Budget Budget { get; }

    /// <summary>What <see cref="Plan"/> needs to see.</summary>
    /// <exception cref="ArgumentException">Options contradict each other.</exception>
    ScoreRequest Request { get; }

    /// <summary>
    /// Whether KV heads keep different numbers of rows by design, so that equal ones would be a coincidence: positions of such rows cannot close up. Default: false.
    /// </summary>
    /// <param name="kvHeads">KV heads of each layer.</param>
    /// <param name="tokens">Tokens of the context, 1 and up.</param>
    /// <param name="cost">What a row costs; needed for a budget in bytes.</param>
    /// <exception cref="PlanException">The budget cannot be met.</exception>
    bool RowsDiffer(HeadLayout kvHeads, int tokens, RowCost cost = default) => false;

    /// <summary>
    /// Refuses a context for which no scores could make a plan that keeps a row, before anybody reads it: the context is too short, or the budget too small. Default: refuses nothing.
    /// </summary>
    /// <param name="kvHeads">KV heads of each layer.</param>
    /// <param name="tokens">Tokens of the context, 1 and up.</param>
    /// <param name="cost">The least that a row can cost; needed for a budget in bytes.</param>
    /// <exception cref="PlanException">There can be no plan.</exception>
    void EnsurePlannable(HeadLayout kvHeads, int tokens, RowCost cost = default)
    {
    }

    /// <summary>The same policy with another budget: one scoring serves any number of them.</summary>
    /// <param name="budget">How much may stay.</param>
    ICompressionPolicy WithBudget(Budget budget);

    /// <summary>Turns scores into a plan.</summary>
    /// <param name="scores">At least the statistics that <see cref="Request"/> names.</param>
    /// <param name="cost">What a row costs; needed for a budget in bytes.</param>
    /// <exception cref="PlanException">A score is not a finite number, the scores lack a statistic, or the budget cannot be met.</exception>
    /// <exception cref="ArgumentException">Options contradict each other.</exception>
    CompressionPlan Plan(AttentionScores scores, RowCost cost = default);
}
