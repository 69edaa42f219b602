using EdgeKV.Planning;
using EdgeKV.Policies.Selection;
using EdgeKV.Scoring;

namespace EdgeKV.Policies;

/// <summary>
/// One ranking of all rows of all layers and KV heads by any scorer's scores: top(keep(layers * kvHeads * tokens)). Ragged. What
/// <see cref="GlobalTopK"/> does by its own scores, for scores that mean the same in every layer.
/// </summary>
/// <remarks>Ties go to the lower layer, then the lower KV head, then the earlier position.</remarks>
public sealed record RaggedRanking : RaggedWrapper
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "ragged";

    /// <summary>One ranking by SnapKV's scores.</summary>
    public RaggedRanking()
        : base(new SnapKV())
    {
    }

    /// <inheritdoc/>
    public override string Name => PolicyName;

    private protected override CompressionPlan Share(AttentionScores scores, RowCost cost)
    {
        long budget = Budget.RaggedRows(scores.Layers, scores.KvHeads, scores.Tokens, cost);
        using var ranked = RankedRows.Of(ScorerFor(scores, cost), scores, (int)(budget / (scores.Layers * scores.KvHeads)));
        return Finish(ranked, ranked.CountOverall(budget), scores.KvHeads, budget);
    }
}
