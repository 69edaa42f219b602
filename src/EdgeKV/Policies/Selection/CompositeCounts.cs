using EdgeKV.Models;

namespace EdgeKV.Policies.Selection;

/// <summary>Counts of plans whose layers keep composite rows.</summary>
internal static class CompositeCounts
{
    /// <summary>Rows of every KV head, layer after layer.</summary>
    /// <param name="kvHeads">KV heads of each layer.</param>
    /// <param name="rows">Rows of each KV head of a layer, by layer.</param>
    public static int[] Of(HeadLayout kvHeads, ReadOnlySpan<int> rows)
    {
        int[] counts = new int[kvHeads.Total];
        for (int layer = 0; layer < rows.Length; layer++)
        {
            counts.AsSpan(kvHeads.First(layer), kvHeads[layer]).Fill(rows[layer]);
        }

        return counts;
    }
}
