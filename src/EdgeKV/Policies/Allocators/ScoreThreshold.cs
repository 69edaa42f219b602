using EdgeKV.Numerics;
using EdgeKV.Planning;
using EdgeKV.Policies.Scorers;
using EdgeKV.Policies.Selection;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Allocators;

/// <summary>
/// Keeps the rows whose score is at least a limit, so that the ratio follows the content (the inference of DMS, arXiv 2506.05345). Ragged.
/// For scores that mean something absolute, such as learned ones.
/// </summary>
/// <remarks>
/// The last rows stay in any case, and so do those that the scorer protects. Where more rows reach the limit than a given budget allows, the
/// best of all layers and KV heads together stay.
/// </remarks>
public sealed record ScoreThreshold : RaggedWrapper
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "threshold";

    /// <summary>A threshold on learned scores; a <see cref="Limit"/> has to be given.</summary>
    public ScoreThreshold()
        : base(new GlobalTopK(), ratio: 0)
    {
    }

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>The least score that stays, in the scorer's own unit. Has no default: it must be given.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not a finite number.</exception>
    public double? Limit
    {
        get;
        init => field = value is null || double.IsFinite(value.Value)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A limit is a finite number: a score.");
    }

    /// <summary>Last positions that every KV head keeps, 0 and up. Default: 128.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Recent
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Protected last positions are 0 and up.");
    }

    = 128;

    /// <inheritdoc/>
    public override ScoreRequest Request => Limit is null
        ? throw new ArgumentException($"{Name} needs a {nameof(Limit)}: the least score that stays.")
        : base.Request;

    private protected override CompressionPlan Share(AttentionScores scores, RowCost cost)
    {
        long budget = Budget.RaggedRows(scores.Layers, scores.KvHeads, scores.Tokens, cost);
        ProtectedRows own = Scorer.Protect(scores.Tokens, (int)(budget / (scores.Layers * scores.KvHeads)));
        ProtectedRows all = own with { Last = Math.Max(own.Last, Recent) };
        using var ranked = RankedRows.Of(ScorerFor(scores, cost), scores, _ => all);
        int[] counts = ranked.CountOverall(budget, ScoreOrder.KeyAfter(Limit.GetValueOrDefault()));
        return Finish(ranked, counts, scores.KvHeads, budget);
    }
}
