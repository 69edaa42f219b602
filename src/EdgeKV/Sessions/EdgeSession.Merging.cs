using EdgeKV.Compression;
using EdgeKV.Native;
using EdgeKV.Planning;
using EdgeKV.Scoring;

namespace EdgeKV.Sessions;

public sealed partial class EdgeSession
{
    /// <summary>What the values of the rows that a plan drops go into, [layers, kvHeads]. Changes nothing yet.</summary>
    private MergedRows[] PlanMerging(CompressionPlan plan, IProgress<CompressionProgress>? progress, CancellationToken cancellation)
    {
        if (_compact)
        {
            throw new SessionStateException("Cannot merge values: the cache is compact, and rows that are gone have none. Merge when compressing the full cache.");
        }

        MergedRows[] merged = new MergedRows[plan.Layers * plan.KvHeads];
        ICacheRows rows = CachedRows;
        for (int layer = 0; layer < plan.Layers; layer++)
        {
            progress?.Report(new CompressionProgress(CompressionStage.Merging, (double)layer / plan.Layers));
            using LayerRows keys = new(rows, RowKind.Keys, layer);
            using LayerRows values = new(rows, RowKind.Values, layer);
            for (int head = 0; head < plan.KvHeads; head++)
            {
                merged[layer * plan.KvHeads + head] = MergedRows.Of(keys, values, head, Position, plan.Positions(layer, head), cancellation);
            }
        }

        progress?.Report(new CompressionProgress(CompressionStage.Merging, 1));
        return merged;
    }

    /// <summary>Rewrites kept values. Not cancelled: values that were rewritten cannot be put back.</summary>
    private unsafe void Merge(MergedRows[] merged)
    {
        for (int list = 0; list < merged.Length; list++)
        {
            MergedRows rows = merged[list];
            lock (_native)
            {
                fixed (int* dropped = rows.Dropped, kept = rows.Kept)
                fixed (float* weights = rows.Weights)
                {
                    NativeErrors.ThrowIfFailed(
                        NativeMethods.edgekv_merge(
                            Live, list / Model.KvHeads, list % Model.KvHeads, dropped, kept, weights, (nuint)rows.Dropped.Length),
                        nameof(NativeMethods.edgekv_merge));
                }
            }
        }
    }
}
