using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Scorers;
using EdgeKV.Policies.Selection;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Allocators;

/// <summary>
/// CriticalAdaKV, arXiv 2502.03805: as many rows for every KV head as <see cref="AdaKV"/> gives it, and which ones as <see cref="CriticalKV"/> chooses
/// them. Ragged.
/// </summary>
/// <remarks>Ties go as those two say.</remarks>
public sealed record CriticalAdaKV : RaggedWrapper
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "critical-ada";

    /// <summary>CriticalAdaKV over SnapKV.</summary>
    public CriticalAdaKV()
        : base(new SnapKV())
    {
    }

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <inheritdoc cref="AdaKV.Alpha"/>
    public double Alpha
    {
        get;
        init => field = value is >= 0 and <= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Alpha is a share: 0 to 1.");
    }

    = 0.2;

    /// <inheritdoc cref="CriticalKV.FirstStage"/>
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

    private protected override bool IsRagged => Alpha < 1 && !Composed;

    private protected override long MostRows(HeadLayout kvHeads, int tokens, RowCost cost) => LayerRows(kvHeads, tokens, cost);

    private protected override CompressionPlan Share(AttentionScores scores, RowCost cost)
    {
        int rows = EqualRows(scores, cost);
        using var ranked = RankedRows.Of(ScorerFor(scores, cost), scores, rows);
        int[] counts = ranked.CountByLayer(layer => Budget.LayerRows(scores.KvHeads, layer, scores.Tokens, cost), (int)(rows * Alpha));
        Compose(counts, scores.KvHeads);
        ranked.ProtectBest(list => (int)(counts[list] * FirstStage));
        OutputWeights.Apply(ranked, scores);
        return ranked.Plan(counts);
    }
}
