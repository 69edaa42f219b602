using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Selection;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// A policy whose every KV head of every layer keeps its keep(tokens) best rows by one score. Wrappers share other budgets by the same score.
/// </summary>
/// <remarks>
/// Ties go to the earlier position. Protected positions rank above all others and use up the budget. Cost: the score, and some five passes
/// over [layers, kvHeads, tokens] in parallel over layers, no sort. Memory: a key of 4 bytes for each of these rows, rented, and the plan.
/// </remarks>
public abstract record ScoredPolicy : RowPolicy, IRowScorer
{
    /// <summary>A scored policy that removes 0.8 of all rows unless a budget is given.</summary>
    protected ScoredPolicy()
    {
    }

    /// <inheritdoc/>
    public virtual bool SharesPositions => false;

    /// <inheritdoc/>
    public abstract void Score(AttentionScores scores, int layer, Span<float> destination);

    /// <inheritdoc/>
    public virtual IRowScorer ForRatio(double ratio) => this;

    /// <inheritdoc/>
    public virtual ProtectedRows Protect(int tokens, int rows) => default;

    private protected sealed override long MostRows(HeadLayout kvHeads, int tokens, RowCost cost) => Budget.EqualRows(kvHeads, tokens, cost);

    private protected sealed override CompressionPlan Share(AttentionScores scores, RowCost cost)
    {
        int rows = EqualRows(scores, cost);
        using var ranked = RankedRows.Of(ForRatio(RatioOf(scores, cost)), scores, rows);
        int[] counts = new int[ranked.Lists];
        counts.AsSpan().Fill(rows);
        return ranked.Plan(counts);
    }
}
