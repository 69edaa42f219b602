using EdgeKV.Models;
using EdgeKV.Numerics;
using EdgeKV.Planning;
using EdgeKV.Policies.Scorers;
using EdgeKV.Policies.Selection;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Allocators;

/// <summary>
/// Ranks all rows of all layers and KV heads together by one scorer's scores and keeps the best: top(keep(layers * kvHeads * tokens)), or those that reach
/// a limit. Ragged. For scores that mean the same in every layer, such as those of <see cref="LearnedScorer"/> and <see cref="TaskScorer"/>.
/// </summary>
/// <remarks>
/// <para>
/// Protected rows rank above all others and use up the budget: the first positions of all heads, then the most recent. Ties go to the lower
/// layer, then the lower KV head, then the earlier position. The plan for a smaller budget is part of the plan for a larger one, unless
/// <see cref="HeadFloor"/>, <see cref="LayerFloor"/>, <see cref="RowMultiple"/> or <see cref="RaggedWrapper.Composed"/> are set, which are ours.
/// </para>
/// <para>Cost: some five passes over [layers, kvHeads, tokens] in parallel over layers, no sort. Memory: a key of 4 bytes for each of these
/// rows, rented, and the plan.</para>
/// </remarks>
public sealed record GlobalRanking : RaggedWrapper
{
    /// <summary>The name of a ranking by how much attention rows get: the registry's default.</summary>
    public const string PolicyName = "global";

    /// <summary>The name under which the registry knows a ranking by any scorer.</summary>
    public const string RaggedName = "ragged";

    /// <summary>The name under which the registry knows a ranking that keeps what reaches a limit.</summary>
    public const string ThresholdName = "threshold";

    private static readonly Budget Unbounded = Budget.FromRatio(0);

    /// <summary>A ranking that removes 0.8 of all rows unless a budget or a limit is given.</summary>
    /// <param name="scorer">What rows are ranked by.</param>
    public GlobalRanking(IRowScorer scorer)
        : base(scorer)
    {
    }

    /// <inheritdoc/>
    public override string Name => RegisteredAs;

    /// <summary>
    /// Keeps only rows whose score is at least this, in the scorer's own unit, so that the ratio follows the content (the inference of DMS, arXiv 2506.05345);
    /// protected rows stay in any case. Default: null, the budget alone decides. With a limit the default budget is ratio 0, all that reaches it. Where more rows
    /// reach it than a given <see cref="RowPolicy.Budget"/> allows, the best of them stay.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not a finite number.</exception>
    public double? Limit
    {
        get;
        init => field = value is null || double.IsFinite(value.Value)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A limit is a finite number: a score.");
    }

    /// <summary>Last positions that every KV head keeps at least, beside those that the scorer protects, 0 and up. Default: 0.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Recent
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Protected last positions are 0 and up.");
    }

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
        : Limit is null && NeedsLimit
        ? throw new ArgumentException($"{Name} needs a {nameof(Limit)}: the least score that stays.")
        : base.Request;

    /// <summary>The name under which the registry made it.</summary>
    internal string RegisteredAs { get; init; } = PolicyName;

    /// <summary>The key that rows must stay below to reach the limit; null where there is none.</summary>
    internal uint? LimitKey => Limit is { } limit ? ScoreOrder.KeyAfter(limit) : null;

    /// <summary>Whether it is one ranking and nothing else: no floors, and counts as they come.</summary>
    internal bool IsPlain => HeadFloor == 0 && LayerFloor == 0 && RowMultiple == 1 && !Composed;

    private protected override bool IsRagged => HeadFloor < 1;

    private protected override long MostRows(HeadLayout kvHeads, int tokens, RowCost cost) => Budget.RaggedRows(kvHeads, tokens, cost).MostRowsInBlocks(RowMultiple, tokens);

    private protected override Budget DefaultBudget => Limit is null && !NeedsLimit ? base.DefaultBudget : Unbounded;

    private bool NeedsLimit => RegisteredAs == ThresholdName;

    /// <summary>The positions that every KV head keeps before scores decide.</summary>
    /// <param name="tokens">Tokens of the context, 1 and up.</param>
    /// <param name="rows">Rows that a KV head keeps on average, 0 to <paramref name="tokens"/>.</param>
    internal ProtectedRows Protect(int tokens, int rows)
    {
        ProtectedRows own = Scorer.Protect(tokens, rows);
        return own with { Last = Math.Max(own.Last, Recent) };
    }

    private protected override CompressionPlan Share(AttentionScores scores, RowCost cost)
    {
        RowLimit budget = Budget.RaggedRows(scores.KvHeads, scores.Tokens, cost);
        int part = (int)(budget.Units / budget.PerToken);
        ProtectedRows first = Protect(scores.Tokens, part);
        using var ranked = RankedRows.Of(ScorerFor(scores, cost), scores, _ => first);
        if (IsPlain)
        {
            return ranked.PlanOverall(budget, LimitKey);
        }

        if (HeadFloor > 0)
        {
            ranked.ProtectBest(_ => (int)(part * HeadFloor));
        }

        if (LayerFloor > 0)
        {
            ranked.ProtectBestOfLayers(layer => (int)((long)part * scores.KvHeads[layer] * LayerFloor));
        }

        int[] counts = ranked.CountOverall(budget, LimitKey);
        if (RowMultiple > 1)
        {
            RoundDown(counts, scores.KvHeads, scores.Tokens, budget);
        }

        return Finish(ranked, counts, scores.KvHeads, budget);
    }

    private void RoundDown(int[] counts, HeadLayout kvHeads, int tokens, RowLimit budget)
    {
        int[] lost = new int[counts.Length];
        for (int list = 0; list < counts.Length; list++)
        {
            lost[list] = counts[list] == tokens ? 0 : counts[list] % RowMultiple;
            counts[list] -= lost[list];
        }

        long used = budget.Of(counts);
        foreach (int list in Enumerable.Range(0, counts.Length).Where(list => lost[list] > 0).OrderByDescending(list => lost[list]))
        {
            int more = Math.Min(RowMultiple, tokens - counts[list]);
            long units = more * budget.PerRow(kvHeads.At(list).Layer);
            if (used + units > budget.Units)
            {
                return;
            }

            counts[list] += more;
            used += units;
        }
    }
}
