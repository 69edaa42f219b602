using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Scorers;
using EdgeKV.Policies.Selection;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Allocators;

/// <summary>
/// CriticalKV, arXiv 2502.03805: half of the rows by any scorer's scores, the rest by these scores times what a row's value adds to the layer's output.
/// All KV heads keep equally many rows.
/// </summary>
/// <remarks>
/// First stage: the best (int)(keep(tokens) * 0.5) rows of each KV head by score s. Second stage: the others by (s + 1e-4) times the mean of
/// ||W_O,a v[j]||_1 over the attention heads a of the KV head (NVIDIA/kvpress, criticalkv_press). What the scorer protects stays protected:
/// ours. Ties go to the earlier position.
/// </remarks>
public sealed record CriticalKV : ScorerWrapper
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "critical";

    /// <summary>CriticalKV over SnapKV.</summary>
    public CriticalKV()
        : base(new SnapKV())
    {
    }

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>The share of a KV head's rows that scores alone decide, rounded down, 0 to 1. Default: 0.5.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public double FirstStage
    {
        get;
        init => field = value is >= 0 and <= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "The first stage is a share of the budget: 0 to 1.");
    }

    = 0.5;

    /// <inheritdoc/>
    public override ScoreRequest Request => ScoreRequest.Union(Scorer.Request, new ScoreRequest(OutputWeights.Norms));

    private protected override long MostRows(HeadLayout kvHeads, int tokens, RowCost cost) => Budget.EqualRows(kvHeads, tokens, cost);

    private protected override CompressionPlan Share(AttentionScores scores, RowCost cost)
    {
        int rows = EqualRows(scores, cost);
        int[] counts = new int[scores.KvHeads.Total];
        counts.AsSpan().Fill(rows);
        using var ranked = RankedRows.Of(ScorerFor(scores, cost), scores, rows);
        ranked.ProtectBest(_ => (int)(rows * FirstStage));
        OutputWeights.Apply(ranked, scores);
        return ranked.Plan(counts);
    }
}
