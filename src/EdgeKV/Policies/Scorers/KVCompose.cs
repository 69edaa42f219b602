using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Selection;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// KVCompose, arXiv 2509.05165: every KV head keeps the tokens that matter to it, and one budget over the whole model decides how many
/// rows each layer keeps (structured: composite rows, equal counts within a layer) or each head (unstructured: ragged).
/// </summary>
/// <remarks>
/// <para>
/// Steps, with KV head h serving a group of attention heads and j a context token: the task tokens' attention is aggregated per attention
/// head; s[h, j] is its mean over the group, times the value's norm where asked; then the mean of s[., j] over the layer's KV heads is
/// added to each (stabilisation). Structured: every head's scores are sorted, rank t of a layer is worth the mean over its heads, and the
/// best ranks of all layers share the budget keep(layers * tokens); where layers have other numbers of KV heads (ours), a rank takes as many rows of the
/// budget as its layer has. Unstructured: the best of all scores share
/// keep(layers * kvHeads * tokens). Each head keeps its own highest scores, in the order of their positions.
/// </para>
/// <para>
/// Ties go to the lower layer, then the lower KV head, then the earlier position. All of it is float32 in the order of the reference
/// (NVIDIA/kvpress, kvcompose_press), so that equal scores give equal plans. Where paper and reference differ, this follows the paper:
/// the reference makes layer 0 the largest because its host needs that (<see cref="FirstLayerLargest"/>).
/// </para>
/// <para>Cost: two passes over the scores and a sort per KV head, in parallel over layers. Memory: the scores of one layer per thread, and
/// one float per layer and token (unstructured: per layer, KV head and token).</para>
/// </remarks>
public sealed record KVCompose : ICompressionPolicy, IRowScorer
{
    /// <summary>The name of the structured policy.</summary>
    public const string StructuredName = "kvcompose";

    /// <summary>The name of the unstructured policy.</summary>
    public const string UnstructuredName = "kvcompose-unstructured";

    /// <inheritdoc/>
    public string Name => Structured ? StructuredName : UnstructuredName;

    /// <summary>How much may stay. Default: ratio 0.8, one fifth.</summary>
    /// <exception cref="ArgumentNullException">The value is null.</exception>
    public Budget Budget
    {
        get;
        init => field = value ?? throw new ArgumentNullException(nameof(value));
    }

    = Budget.FromRatio(0.8);

    /// <summary>The share of all rows that goes, 0 to below 1: short for a <see cref="Budget"/> by ratio. Null when the budget is given otherwise.</summary>
    /// <exception cref="ArgumentNullException">The value set is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public double? Ratio
    {
        get => Budget.Ratio;
        init => Budget = Budget.FromRatio(value ?? throw new ArgumentNullException(nameof(value)));
    }

    /// <summary>Whether the heads of a layer keep equally many rows. Default: true. False keeps answers at higher ratios and decodes a little slower.</summary>
    public bool Structured { get; init; } = true;

    /// <summary>The tokens whose attention judges the context. Default: the context itself.</summary>
    /// <exception cref="ArgumentNullException">The value is null.</exception>
    public TaskSet TaskSet
    {
        get;
        init => field = value ?? throw new ArgumentNullException(nameof(value));
    }

    = TaskSet.Context;

    /// <summary>How the task tokens' attention is aggregated. Default: the maximum.</summary>
    public TaskAggregate Aggregate { get; init; } = TaskAggregate.Max;

    /// <summary>Whether scores are multiplied by the L2 norm of the cached value. Default: false.</summary>
    public bool ValueNorm { get; init; }

    /// <summary>Whether the mean over the layer's KV heads is added to every score (stabilisation). Default: true.</summary>
    public bool Stabilize { get; init; } = true;

    /// <summary>How the heads' scores of one rank become a composite row's score. Default: the mean. Unstructured plans have no use for it.</summary>
    public CompositeScore Composite { get; init; } = CompositeScore.Mean;

    /// <summary>
    /// Rows that every KV head keeps before the rest is shared, 0 and up. Default: 0, so that a head may lose all its rows. Where the budget
    /// is too small for them, lower layers and KV heads come first.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int LowerBound
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A lower bound is 0 rows and up.");
    }

    /// <summary>
    /// Whether layer 0 is made the largest: its composite scores become the largest that any layer has at their rank. Default: false; only
    /// for comparing with the reference's figures, and only for structured plans. Where the budget ends between layer 0 and the layer that it
    /// borrowed the score from, the lender keeps the row: so do the reference's figures, though its code leaves ties open.
    /// </summary>
    public bool FirstLayerLargest { get; init; }

    /// <summary>
    /// Rows come in blocks of so many, 1 and up, each worth what its best row is worth: a head keeps a multiple of it, or all rows. Default: 1.
    /// The budget is never passed, and up to one block of it may stay unused.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1.</exception>
    public int RowMultiple
    {
        get;
        init => field = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Rows come in blocks of 1 and up.");
    }

    = 1;

    /// <inheritdoc/>
    public ScoreRequest Request
    {
        get
        {
            CheckOptions();
            return ValueNorm ? new ScoreRequest(Attention, new ValueNorms()) : new ScoreRequest(Attention);
        }
    }

    /// <summary>The task tokens' attention, aggregated: a sum where the mean is asked for.</summary>
    internal Statistic Attention =>
        new TaskAttention(TaskSet, Aggregate == TaskAggregate.Max ? AttentionAggregate.Max : AttentionAggregate.Sum);

    /// <inheritdoc/>
    public bool SharesPositions => false;

    /// <inheritdoc/>
    public bool RowsDiffer(HeadLayout kvHeads, int tokens, RowCost cost = default) => true;

    /// <inheritdoc/>
    public void EnsurePlannable(HeadLayout kvHeads, int tokens, RowCost cost = default)
    {
        ArgumentNullException.ThrowIfNull(kvHeads);
        ArgumentOutOfRangeException.ThrowIfLessThan(tokens, 1);
        CompressionPlan.EnsureRows(LimitOf(kvHeads, tokens, cost).MostRowsInBlocks(RowMultiple, tokens), tokens, kvHeads);
    }

    /// <inheritdoc/>
    public ICompressionPolicy WithBudget(Budget budget) => this with { Budget = budget };

    /// <inheritdoc/>
    public void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        using var work = new KVComposeWork(this, scores);
        work.CopyScores(layer, destination);
    }

    /// <inheritdoc/>
    public ProtectedRows Protect(int tokens, int rows) => new(0, 0);

    /// <inheritdoc/>
    public CompressionPlan Plan(AttentionScores scores, RowCost cost = default)
    {
        ArgumentNullException.ThrowIfNull(scores);
        scores.ThrowIfLacking(Request, Name);

        RowLimit budget = LimitOf(scores.KvHeads, scores.Tokens, cost);
        int[] rows = new int[Structured ? scores.Layers : scores.KvHeads.Total];
        using var work = new KVComposeWork(this, scores);
        work.Share(budget, rows);
        int[] counts = Structured ? CompositeCounts.Of(scores.KvHeads, rows) : rows;
        int[] positions = work.Positions(counts);
        return CompressionPlan.Adopt(scores.KvHeads, scores.Tokens, counts, positions, budget);
    }

    private RowLimit LimitOf(HeadLayout kvHeads, int tokens, RowCost cost) =>
        Structured ? Budget.CompositeRows(kvHeads, tokens, cost) : Budget.RaggedRows(kvHeads, tokens, cost);

    private void CheckOptions()
    {
        if (FirstLayerLargest && !Structured)
        {
            throw new ArgumentException($"{nameof(FirstLayerLargest)} is a rule for composite rows: it needs {nameof(Structured)}.");
        }

        if (!Enum.IsDefined(Aggregate))
        {
            throw new ArgumentException($"There is no task aggregate {Aggregate}.");
        }

        if (!Enum.IsDefined(Composite))
        {
            throw new ArgumentException($"There is no composite score {Composite}.");
        }
    }
}
