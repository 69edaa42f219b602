using EdgeKV.Engine;
using EdgeKV.Native;
using EdgeKV.Planning;

namespace EdgeKV.Compression;

/// <summary>Plans over a compact cache: a KV head can keep only rows that it still has.</summary>
internal static class RowsThere
{
    /// <summary>A plan without the rows that are gone. A plan over a full cache stays as it is.</summary>
    public static CompressionPlan Restrict(NativeContext context, CompressionPlan plan)
    {
        if (!context.IsCompact)
        {
            return plan;
        }

        int contextTokens = (int)context.Get(NativeCacheKey.ContextTokens);
        (int[] rows, _) = CacheStateReader.KeptRows(context);
        int[][] kept = new int[plan.KvHeads.Total][];
        for (int layer = 0; layer < plan.Layers; layer++)
        {
            for (int head = 0; head < plan.KvHeads[layer]; head++)
            {
                int list = plan.KvHeads.First(layer) + head;
                int[] there = CacheStateReader.KeptPositions(context, layer, head, rows[list]);
                kept[list] = [.. plan.Positions(layer, head).ToArray().Where(position => position >= contextTokens || Array.BinarySearch(there, position) >= 0)];
            }
        }

        return new CompressionPlan(
            plan.KvHeads, plan.ContextTokens, Array.ConvertAll(kept, list => list.Length), [.. kept.SelectMany(list => list)]);
    }
}
