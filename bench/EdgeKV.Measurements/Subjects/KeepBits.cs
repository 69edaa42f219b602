using EdgeKV.Planning;

namespace EdgeKV.Measurements.Subjects;

/// <summary>Plans as masks [layers, KV heads, context tokens]: a bit each, 1 keeps, every head padded to whole bytes, lowest bit first.</summary>
public static class KeepBits
{
    /// <summary>The mask of a plan.</summary>
    public static byte[] Of(CompressionPlan plan)
    {
        int stride = Stride(plan.ContextTokens);
        byte[] bits = new byte[plan.Layers * plan.KvHeads * stride];
        for (int layer = 0; layer < plan.Layers; layer++)
        {
            for (int head = 0; head < plan.KvHeads; head++)
            {
                Span<byte> row = bits.AsSpan((layer * plan.KvHeads + head) * stride, stride);
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
    public static CompressionPlan ToPlan(ReadOnlySpan<byte> bits, int layers, int kvHeads, int contextTokens)
    {
        int stride = Stride(contextTokens);
        if (bits.Length != layers * kvHeads * stride)
        {
            throw new ArgumentException($"A mask of {bits.Length} bytes is not [{layers}, {kvHeads}, {contextTokens}] bits.", nameof(bits));
        }

        int[] counts = new int[layers * kvHeads];
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

        return new CompressionPlan(layers, kvHeads, contextTokens, counts, positions.ToArray());
    }

    private static int Stride(int tokens) => (tokens + 7) / 8;
}
