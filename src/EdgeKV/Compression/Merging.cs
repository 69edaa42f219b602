using EdgeKV.Engine;
using EdgeKV.Native;
using EdgeKV.Planning;
using EdgeKV.Scoring;

namespace EdgeKV.Compression;

/// <summary>Takes the values of rows that a plan drops into those of rows that it keeps (NVIDIA/kvpress, merging_press).</summary>
internal static class Merging
{
    /// <summary>What the values of the rows that a plan drops go into, by KV head. Changes nothing yet.</summary>
    /// <exception cref="SessionStateException">The cache is compact.</exception>
    public static MergedRows[] Plan(
        NativeContext context, CompressionPlan plan, IProgress<CompressionProgress>? progress, CancellationToken cancellation)
    {
        EnsureFull(context);
        MergedRows[] merged = new MergedRows[plan.KvHeads.Total];
        CacheRows rows = new(context.Model, context.Handle, context.Position);
        for (int layer = 0; layer < plan.Layers; layer++)
        {
            progress?.Report(new CompressionProgress(CompressionStage.Merging, (double)layer / plan.Layers));
            using LayerRows keys = new(rows, RowKind.Keys, layer);
            using LayerRows values = new(rows, RowKind.Values, layer);
            for (int head = 0; head < plan.KvHeads[layer]; head++)
            {
                merged[plan.KvHeads.First(layer) + head] = MergedRows.Of(keys, values, head, rows.Tokens, plan.Positions(layer, head), cancellation);
            }
        }

        progress?.Report(new CompressionProgress(CompressionStage.Merging, 1));
        return merged;
    }

    /// <summary>Refuses a cache whose rows are gone.</summary>
    /// <exception cref="SessionStateException">The cache is compact.</exception>
    public static void EnsureFull(NativeContext context)
    {
        if (context.IsCompact)
        {
            throw new SessionStateException("Cannot merge values: the cache is compact, and rows that are gone have none. Merge when compressing the full cache.");
        }
    }

    /// <summary>Rewrites kept values, then the cache. Not cancelled: values that were rewritten cannot be put back.</summary>
    public static void ApplyAndRewrite(NativeContext context, MergedRows[] merged, CompressionPlan plan, CompressOptions options)
    {
        try
        {
            for (int list = 0; list < merged.Length; list++)
            {
                (int layer, int head) = plan.KvHeads.At(list);
                Merge(context, layer, head, merged[list]);
            }

            Rewriting.Apply(context, plan, options, CancellationToken.None);
        }
        catch (Exception e) when (e is EdgeKVException or OperationCanceledException)
        {
            context.Fail($"values were merged and the cache was not rewritten: {e.Message}");
            throw;
        }
    }

    private static unsafe void Merge(NativeContext context, int layer, int head, MergedRows rows)
    {
        fixed (int* dropped = rows.Dropped, kept = rows.Kept)
        fixed (float* weights = rows.Weights)
        {
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_merge(context.Handle, layer, head, dropped, kept, weights, (nuint)rows.Dropped.Length),
                nameof(NativeMethods.edgekv_merge));
        }
    }
}
