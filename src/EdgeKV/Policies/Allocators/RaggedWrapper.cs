using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Selection;

namespace EdgeKV.Policies.Allocators;

/// <summary>A wrapper that gives the KV heads of a layer different counts.</summary>
public abstract record RaggedWrapper : ScorerWrapper
{
    private protected RaggedWrapper(IRowScorer scorer, double ratio = 0.8)
        : base(scorer, ratio)
    {
    }

    /// <summary>
    /// Whether the plan is made composite: a layer's KV heads each keep the mean of their counts, rounded down, so that its attention is one
    /// call. Default: false.
    /// </summary>
    public bool Composed { get; init; }

    /// <summary>Turns the counts of all KV heads into a plan: each keeps its best rows.</summary>
    /// <param name="ranked">The rows by score.</param>
    /// <param name="counts">Rows of every KV head, layer after layer; made equal within a layer where composed.</param>
    /// <param name="kvHeads">KV heads of each layer.</param>
    /// <param name="limit">The most rows that may stay; null: the counts cannot be more.</param>
    private protected CompressionPlan Finish(RankedRows ranked, int[] counts, HeadLayout kvHeads, RowLimit? limit = null)
    {
        Compose(counts, kvHeads);
        return ranked.Plan(counts, limit);
    }

    /// <summary>Makes counts equal within a layer where the plan is to be composite.</summary>
    /// <param name="counts">Rows of every KV head, layer after layer.</param>
    /// <param name="kvHeads">KV heads of each layer.</param>
    private protected void Compose(int[] counts, HeadLayout kvHeads)
    {
        for (int i = 0; Composed && i < kvHeads.Layers; i++)
        {
            Span<int> layer = counts.AsSpan(kvHeads.First(i), kvHeads[i]);
            long sum = 0;
            foreach (int rows in layer)
            {
                sum += rows;
            }

            layer.Fill((int)(sum / layer.Length));
        }
    }
}
