using EdgeKV.Planning;
using EdgeKV.Policies.Scorers;
using EdgeKV.Policies.Selection;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Allocators;

/// <summary>
/// One ranking of all rows of all layers and KV heads by any scorer's scores: top(keep(layers * kvHeads * tokens)). Ragged. What
/// <see cref="GlobalTopK"/> does by its own scores, for scores that mean the same in every layer, and with what can be put on top of such a ranking.
/// </summary>
/// <remarks>Ties go to the lower layer, then the lower KV head, then the earlier position. Floors and <see cref="RowMultiple"/> are ours.</remarks>
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

    /// <summary>
    /// The share of its equal part of the budget that every KV head is sure of, rounded down to rows, 0 to 1: 1 leaves nothing to rank. Default: 0.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public double HeadFloor
    {
        get;
        init => field = value is >= 0 and <= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A head's floor is a share of its equal part: 0 to 1.");
    }

    /// <summary>The share of its equal part that every layer is sure of, whichever of its KV heads its best rows are in, 0 to 1. Default: 0.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public double LayerFloor
    {
        get;
        init => field = value is >= 0 and <= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A layer's floor is a share of its equal part: 0 to 1.");
    }

    /// <summary>
    /// What every KV head's count is a multiple of, 1 and up; a head that keeps all rows may break it. Counts are rounded down, and what that leaves
    /// goes, so many rows at a time, to the heads that lost most, of equal ones the lower. Not together with
    /// <see cref="RaggedWrapper.Composed"/>, which makes counts of its own. Default: 1.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1.</exception>
    public int RowMultiple
    {
        get;
        init => field = value >= 1 ? value : throw new ArgumentOutOfRangeException(nameof(value), value, "A row multiple is 1 and up.");
    }

    = 1;

    /// <inheritdoc/>
    public override ScoreRequest Request => Composed && RowMultiple > 1
        ? throw new ArgumentException($"{Name} cannot be {nameof(Composed)} and have a {nameof(RowMultiple)} of {RowMultiple}: leave one out.")
        : base.Request;

    private protected override CompressionPlan Share(AttentionScores scores, RowCost cost)
    {
        long budget = Budget.RaggedRows(scores.Layers, scores.KvHeads, scores.Tokens, cost);
        int part = (int)(budget / (scores.Layers * scores.KvHeads));
        using var ranked = RankedRows.Of(ScorerFor(scores, cost), scores, part);
        if (HeadFloor > 0)
        {
            ranked.ProtectBest(_ => (int)(part * HeadFloor));
        }

        if (LayerFloor > 0)
        {
            ranked.ProtectBestOfLayers((int)((long)part * scores.KvHeads * LayerFloor));
        }

        int[] counts = ranked.CountOverall(budget);
        if (RowMultiple > 1)
        {
            RoundDown(counts, scores.Tokens, budget);
        }

        return Finish(ranked, counts, scores.KvHeads, budget);
    }

    private void RoundDown(int[] counts, int tokens, long budget)
    {
        int[] lost = new int[counts.Length];
        long used = 0;
        for (int list = 0; list < counts.Length; list++)
        {
            lost[list] = counts[list] == tokens ? 0 : counts[list] % RowMultiple;
            counts[list] -= lost[list];
            used += counts[list];
        }

        foreach (int list in Enumerable.Range(0, counts.Length).Where(list => lost[list] > 0).OrderByDescending(list => lost[list]))
        {
            int more = Math.Min(RowMultiple, tokens - counts[list]);
            if (used + more > budget)
            {
                return;
            }

            counts[list] += more;
            used += more;
        }
    }
}
