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
    /// <param name="counts">Rows of every KV head, [layers, kvHeads]; made equal within a layer where composed.</param>
    /// <param name="kvHeads">KV heads of a layer.</param>
    /// <param name="maxRows">The most rows that may stay.</param>
    private protected CompressionPlan Finish(RankedRows ranked, int[] counts, int kvHeads, long maxRows)
    {
        Compose(counts, kvHeads);
        return ranked.Plan(counts, maxRows);
    }

    /// <summary>Makes counts equal within a layer where the plan is to be composite.</summary>
    /// <param name="counts">Rows of every KV head, [layers, kvHeads].</param>
    /// <param name="kvHeads">KV heads of a layer.</param>
    private protected void Compose(int[] counts, int kvHeads)
    {
        for (int first = 0; Composed && first < counts.Length; first += kvHeads)
        {
            Span<int> layer = counts.AsSpan(first, kvHeads);
            long sum = 0;
            foreach (int rows in layer)
            {
                sum += rows;
            }

            layer.Fill((int)(sum / kvHeads));
        }
    }
}
