using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Scorers;
using EdgeKV.Policies.Selection;
using EdgeKV.Profiles;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Allocators;

/// <summary>
/// How many rows every layer and KV head keeps as one policy plans it, and which ones by another's scores. Ragged where that policy is.
/// </summary>
public sealed record LayerBudgets : ScorerWrapper
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "layer-budgets";

    /// <summary>KVCompose's budgets with SnapKV's scores.</summary>
    public LayerBudgets()
        : base(new SnapKV())
    {
    }

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>Whose plan gives the counts; its own budget has no say. Default: KVCompose.</summary>
    /// <exception cref="ArgumentNullException">The value is null.</exception>
    public ICompressionPolicy Counts
    {
        get;
        init => field = value ?? throw new ArgumentNullException(nameof(value));
    }

    = new KVCompose();

    /// <inheritdoc/>
    public override ScoreRequest Request => ScoreRequest.Union(Counts.Request, Scorer.Request);

    private protected override IReadOnlyList<string> Missing => [.. base.Missing.Union(ICalibratedPolicy.MissingOf(Counts))];

    private protected override ScorerWrapper Complete(ScoreProfile profile) => this with
    {
        Counts = ICalibratedPolicy.Complete(Counts, profile),
        Scorer = ICalibratedPolicy.Complete(Scorer, profile),
    };

    /// <inheritdoc/>
    public override bool RowsDiffer(HeadLayout kvHeads, int tokens, RowCost cost = default) => Counts.WithBudget(Budget).RowsDiffer(kvHeads, tokens, cost);

    private protected override long MostRows(HeadLayout kvHeads, int tokens, RowCost cost)
    {
        Counts.WithBudget(Budget).EnsurePlannable(kvHeads, tokens, cost);
        return base.MostRows(kvHeads, tokens, cost);
    }

    private protected override CompressionPlan Share(AttentionScores scores, RowCost cost)
    {
        CompressionPlan plan = Counts.WithBudget(Budget).Plan(scores, cost);
        int[] counts = plan.Counts.ToArray();
        using var ranked = RankedRows.Of(ScorerFor(scores, cost), scores, list => Scorer.Protect(scores.Tokens, counts[list]));
        return ranked.Plan(counts);
    }
}
