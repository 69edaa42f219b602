using System.Numerics.Tensors;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Selection;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// KVzip, arXiv 2505.23416: the rows that the model attends to while it repeats the context chunk by chunk, one ranking over the whole model.
/// Ragged. Knows no question.
/// </summary>
/// <remarks>
/// With the maxima m of <see cref="ReconstructionAttention"/>, s[l, h, j] = max of m[l, a, j] over the attention heads a of KV head h. Tokens of the chat
/// template's prefix are not repeated: its first ones have 1, the others 0 and go first. The lowest (int)(layers * kvHeads * tokens * ratio) go: what goes
/// is truncated, not what stays, so that a row more may stay than other policies keep (NVIDIA/kvpress, kvzip_press). The reference drops all rows
/// that are equal at the cut; here they go to the lower layer, then the lower KV head, then the earlier position, and the budget is met.
/// </remarks>
public sealed record KVzip : RowPolicy, IRowScorer
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "kvzip";

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>
    /// Tokens that are repeated at a time, 1 and up. Default: 2048. Smaller chunks need less room on top of the context; each is fed after some tokens
    /// of instruction.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1.</exception>
    public int Chunk
    {
        get;
        init => field = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A chunk is 1 token and up.");
    }

    = ReconstructionAttention.DefaultChunk;

    /// <summary>First tokens of the template's prefix that score 1, 0 and up; more than it has are all of it. Default: 4.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Sinks
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Sinks are 0 and up.");
    }

    = 4;

    /// <summary>Whether every layer drops equally many rows, (int)(kvHeads * tokens * ratio). Default: false, layers differ.</summary>
    public bool Layerwise { get; init; }

    /// <inheritdoc/>
    public override ScoreRequest Request => new(Attention);

    /// <inheritdoc/>
    public bool SharesPositions => false;

    private ReconstructionAttention Attention => new(Chunk);

    /// <inheritdoc/>
    public ProtectedRows Protect(int tokens, int rows) => default;

    /// <inheritdoc/>
    public void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        Statistic attention = Attention;
        int sinks = Math.Min(Sinks, scores.PrefixTokens);
        for (int head = 0; head < scores.KvHeads[layer]; head++)
        {
            Span<float> row = destination.Slice(head * scores.Tokens, scores.Tokens);
            scores.Values(attention, layer, head * scores.GroupSize(layer)).CopyTo(row);
            for (int member = 1; member < scores.GroupSize(layer); member++)
            {
                TensorPrimitives.Max(row, scores.Values(attention, layer, head * scores.GroupSize(layer) + member), row);
            }

            row[..sinks].Fill(1);
            row[sinks..scores.PrefixTokens].Clear();
        }
    }

    private protected override bool IsRagged => true;

    private protected override long MostRows(HeadLayout kvHeads, int tokens, RowCost cost) => KeptOf((long)kvHeads.Total * tokens) ?? base.MostRows(kvHeads, tokens, cost);

    private protected override CompressionPlan Share(AttentionScores scores, RowCost cost)
    {
        (HeadLayout kvHeads, int tokens) = (scores.KvHeads, scores.Tokens);
        using var ranked = RankedRows.Of(this, scores, 0);
        if (Layerwise)
        {
            return ranked.Plan(ranked.CountByLayer(
                layer => (int)(KeptOf((long)kvHeads[layer] * tokens) ?? Budget.LayerRows(kvHeads, layer, tokens, cost))));
        }

        RowLimit limit = Budget.RaggedRows(kvHeads, tokens, cost);
        return ranked.PlanOverall(KeptOf((long)kvHeads.Total * tokens) is { } kept ? limit.WithUnits(kept) : limit);
    }

    // Null where the budget is no ratio.
    private long? KeptOf(long rows) => rows - (long?)(rows * Budget.Ratio);
}
