using EdgeKV.Planning;
using EdgeKV.Profiles;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Allocators;

/// <summary>A policy that shares its budget in its own way by the scores of another. The scorer's own budget has no say.</summary>
public abstract record ScorerWrapper : RowPolicy, ICalibratedPolicy
{
    /// <summary>A wrapper with its defaults.</summary>
    /// <param name="scorer">What rows are scored by unless another scorer is given.</param>
    /// <param name="ratio">The share of all rows that goes unless another budget is given.</param>
    private protected ScorerWrapper(IRowScorer scorer, double ratio = 0.8)
        : base(ratio) => Scorer = scorer;

    /// <summary>What rows are scored by.</summary>
    /// <exception cref="ArgumentNullException">The value is null.</exception>
    public IRowScorer Scorer
    {
        get;
        init => field = value ?? throw new ArgumentNullException(nameof(value));
    }

    /// <inheritdoc/>
    public override ScoreRequest Request => Scorer.Request;

    /// <inheritdoc/>
    public override void EnsureScorable(int tokens) => Scorer.EnsureScorable(tokens);

    /// <inheritdoc/>
    IReadOnlyList<string> ICalibratedPolicy.MissingTables => Missing;

    /// <inheritdoc/>
    ICalibratedPolicy ICalibratedPolicy.WithTables(ScoreProfile profile) => Complete(profile);

    /// <summary>The scorer for the share of rows that this policy removes.</summary>
    private protected IRowScorer ScorerFor(AttentionScores scores, RowCost cost) => Scorer.ForRatio(RatioOf(scores, cost));

    private protected virtual IReadOnlyList<string> Missing => ICalibratedPolicy.MissingOf(Scorer);

    private protected virtual ScorerWrapper Complete(ScoreProfile profile) => this with { Scorer = ICalibratedPolicy.Complete(Scorer, profile) };
}
