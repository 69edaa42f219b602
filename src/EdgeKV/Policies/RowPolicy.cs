using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Scoring;

namespace EdgeKV.Policies;

/// <summary>What policies that rank rows by a score have in common: a budget, and checks before they plan.</summary>
public abstract record RowPolicy : ICompressionPolicy
{
    // Null as long as nobody gave one: the default may depend on other options, which may be set later.
    private readonly Budget? _budget;

    /// <summary>A policy with a default budget.</summary>
    /// <param name="ratio">The share of all rows that goes unless another budget is given, 0 to below 1.</param>
    private protected RowPolicy(double ratio = 0.8) => DefaultBudget = Budget.FromRatio(ratio);

    /// <inheritdoc/>
    public abstract string Name { get; }

    /// <summary>How much may stay. Default, unless the policy says otherwise: ratio 0.8, one fifth.</summary>
    /// <exception cref="ArgumentNullException">The value is null.</exception>
    public Budget Budget
    {
        get => _budget ?? DefaultBudget;
        init => _budget = value ?? throw new ArgumentNullException(nameof(value));
    }

    /// <summary>The share of all rows that goes, 0 to below 1: short for a <see cref="Budget"/> by ratio. Null when the budget is given otherwise.</summary>
    /// <exception cref="ArgumentNullException">The value set is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public double? Ratio
    {
        get => Budget.Ratio;
        init => Budget = Budget.FromRatio(value ?? throw new ArgumentNullException(nameof(value)));
    }

    /// <inheritdoc/>
    public abstract ScoreRequest Request { get; }

    /// <summary>Whether KV heads keep different numbers of rows by design, whatever the context.</summary>
    private protected virtual bool IsRagged => false;

    /// <summary>What may stay where no budget is given.</summary>
    private protected virtual Budget DefaultBudget { get; }

    /// <inheritdoc/>
    public ICompressionPolicy WithBudget(Budget budget) => this with { Budget = budget };

    /// <inheritdoc/>
    public virtual bool RowsDiffer(HeadLayout kvHeads, int tokens, RowCost cost = default) => IsRagged;

    /// <inheritdoc cref="IRowScorer.EnsureScorable"/>
    public virtual void EnsureScorable(int tokens)
    {
    }

    /// <inheritdoc/>
    public void EnsurePlannable(HeadLayout kvHeads, int tokens, RowCost cost = default)
    {
        ArgumentNullException.ThrowIfNull(kvHeads);
        ArgumentOutOfRangeException.ThrowIfLessThan(tokens, 1);
        EnsureScorable(tokens);
        CompressionPlan.EnsureRows(MostRows(kvHeads, tokens, cost), tokens, kvHeads);
    }

    /// <inheritdoc/>
    public CompressionPlan Plan(AttentionScores scores, RowCost cost = default)
    {
        ArgumentNullException.ThrowIfNull(scores);
        scores.ThrowIfLacking(Request, Name);
        return Share(scores, cost);
    }

    /// <summary>The most rows that a plan can keep, as far as that follows from the budget: 0 only where no plan keeps a row.</summary>
    private protected virtual long MostRows(HeadLayout kvHeads, int tokens, RowCost cost) => Budget.RaggedRows(kvHeads, tokens, cost).MostRows;

    /// <summary>Plans from scores that hold all that was asked for.</summary>
    private protected abstract CompressionPlan Share(AttentionScores scores, RowCost cost);

    /// <summary>Rows of each KV head where all keep equally many.</summary>
    private protected int EqualRows(AttentionScores scores, RowCost cost) =>
        Budget.EqualRows(scores.KvHeads, scores.Tokens, cost);

    /// <summary>Rows of all layers where each shares its own part of the budget.</summary>
    private protected long LayerRows(HeadLayout kvHeads, int tokens, RowCost cost) =>
        Enumerable.Range(0, kvHeads.Layers).Sum(layer => (long)Budget.LayerRows(kvHeads, layer, tokens, cost));

    /// <summary>The share of all rows that goes: the budget's ratio, or what its rows or bytes come to where all KV heads keep equally many.</summary>
    private protected double RatioOf(AttentionScores scores, RowCost cost) => Budget.Ratio ?? 1 - (double)EqualRows(scores, cost) / scores.Tokens;
}
