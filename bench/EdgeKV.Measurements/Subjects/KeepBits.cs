using EdgeKV.Models;
using EdgeKV.Planning;

namespace EdgeKV.Measurements.Subjects;

/// <summary>Plans as masks [KV heads of all layers, context tokens]: a bit each, 1 keeps, every head padded to whole bytes, lowest bit first.</summary>
public static class KeepBits
{
    /// <summary>The mask of a plan.</summary>
    public static byte[] Of(CompressionPlan plan)
    {
        int stride = Stride(plan.ContextTokens);
        byte[] bits = new byte[plan.KvHeads.Total * stride];
        for (int layer = 0; layer < plan.Layers; layer++)
        {
            for (int head = 0; head < plan.KvHeads[layer]; head++)
            {
                Span<byte> row = bits.AsSpan((plan.KvHeads.First(layer) + head) * stride, stride);
                foreach (int position in plan.Positions(layer, head))
                {
                    row[position / 8] |= (byte)(1 << (position % 8));
                }
            }
        }

        return bits;
    }

    /// <summary>The plan of a mask.</summary>
    /// <exception cref="ArgumentException">The mask has another size.</exception>
    public static CompressionPlan ToPlan(ReadOnlySpan<byte> bits, HeadLayout kvHeads, int contextTokens)
    {
        int stride = Stride(contextTokens);
        if (bits.Length != kvHeads.Total * stride)
        {
            throw new ArgumentException($"A mask of {bits.Length} bytes is not of {kvHeads} KV heads x {contextTokens} bits.", nameof(bits));
        }

        int[] counts = new int[kvHeads.Total];
        List<int> positions = [];
        for (int i = 0; i < counts.Length; i++)
        {
            for (int position = 0; position < contextTokens; position++)
            {
                if ((bits[i * stride + position / 8] >> (position % 8) & 1) != 0)
                {
                    positions.Add(position);
                    counts[i]++;
                }
            }
        }

        return new CompressionPlan(kvHeads, contextTokens, counts, positions.ToArray());
    }

    private static int Stride(int tokens) => (tokens + 7) / 8;
}
