using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Scorers;
using EdgeKV.Policies.Selection;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Allocators;

/// <summary>
/// AdaKV, arXiv 2407.11550: layers keep equally many rows, the KV heads of a layer share them by any scorer's scores. Ragged.
/// </summary>
/// <remarks>
/// Every KV head's best (int)(keep(tokens) * alpha) rows are safe; then the best of all KV heads of the layer together fill up its
/// keep(kvHeads * tokens) rows, which is what the reference's figures have (kvHeads * keep(tokens) may be a few fewer). Ties go to the lower KV head,
/// then the earlier position.
/// </remarks>
public sealed record AdaKV : RaggedWrapper
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "ada";

    /// <summary>AdaKV over SnapKV.</summary>
    public AdaKV()
        : base(new SnapKV())
    {
    }

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>The share of its equal part that every KV head is sure of, 0 to 1. Default: 0.2.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public double Alpha
    {
        get;
        init => field = value is >= 0 and <= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Alpha is a share: 0 to 1.");
    }

    = 0.2;

    private protected override bool IsRagged => Alpha < 1 && !Composed;

    private protected override long MostRows(HeadLayout kvHeads, int tokens, RowCost cost) => LayerRows(kvHeads, tokens, cost);

    private protected override CompressionPlan Share(AttentionScores scores, RowCost cost)
    {
        int rows = EqualRows(scores, cost);
        using var ranked = RankedRows.Of(ScorerFor(scores, cost), scores, rows);
        return Finish(
            ranked, ranked.CountByLayer(layer => Budget.LayerRows(scores.KvHeads, layer, scores.Tokens, cost), (int)(rows * Alpha)), scores.KvHeads);
    }
}
