using EdgeKV.Numerics;

namespace EdgeKV.Models;

/// <summary>
/// What the KV cache of a model costs, and how much context fits into given memory. Pure arithmetic on the model's sizes: room for later
/// tokens, rounding up of rows and the model's weights are not in it.
/// </summary>
/// <param name="Layers">Layers, 1 and up.</param>
/// <param name="KvHeads">KV heads of a layer, 1 and up.</param>
/// <param name="HeadSizeK">Elements of a key.</param>
/// <param name="HeadSizeV">Elements of a value.</param>
public sealed record KvMemory(int Layers, int KvHeads, int HeadSizeK, int HeadSizeV)
{
    private const int BlockElements = 32;

    /// <summary>Bytes of one row: key and value of one token in one KV head.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such type.</exception>
    public long BytesPerRow(KvCacheType type) => Bytes(HeadSizeK, type) + Bytes(HeadSizeV, type);

    /// <summary>Bytes of one token over all layers and KV heads.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such type.</exception>
    public long BytesPerToken(KvCacheType type) => checked((long)Layers * KvHeads * BytesPerRow(type));

    /// <summary>Bytes that a context takes after a share of its rows has gone.</summary>
    /// <param name="type">Element type.</param>
    /// <param name="tokens">Length of the context, 0 and up.</param>
    /// <param name="ratio">The share removed, 0 to below 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">An argument is out of its range.</exception>
    public long Bytes(KvCacheType type, int tokens, double ratio = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(tokens);
        return CompressionRatio.Keep(checked((long)Layers * KvHeads * tokens), ratio) * BytesPerRow(type);
    }

    /// <summary>The longest context whose compressed cache fits into given memory.</summary>
    /// <remarks>
    /// What stays after compression. While a context is read in one piece its full cache lies in memory as well:
    /// <see cref="Bytes(KvCacheType, int, double)"/> with ratio 0 says how much. Compressed while reading, a context never has it.
    /// </remarks>
    /// <param name="type">Element type.</param>
    /// <param name="memory">Bytes there are, 0 and up.</param>
    /// <param name="ratio">The share removed, 0 to below 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">An argument is out of its range.</exception>
    public int TokensThatFit(KvCacheType type, long memory, double ratio = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(memory);
        long rows = memory / BytesPerRow(type);

        // Keep truncates and never falls as tokens rise: the answer is where it first passes the rows there are.
        long low = 0;
        long high = int.MaxValue;
        while (low < high)
        {
            long middle = low + (high - low + 1) / 2;
            if (CompressionRatio.Keep(checked((long)Layers * KvHeads * middle), ratio) <= rows)
            {
                low = middle;
            }
            else
            {
                high = middle - 1;
            }
        }

        return (int)low;
    }

    /// <summary>Bytes of a key or value of so many elements.</summary>
    internal static long Bytes(int elements, KvCacheType type) => type switch
    {
        KvCacheType.F32 => 4L * elements,
        KvCacheType.F16 => 2L * elements,
        KvCacheType.Q8_0 => 34L * Blocks(elements),
        KvCacheType.Q4_0 => 18L * Blocks(elements),
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Known types are F32, F16, Q8_0 and Q4_0."),
    };

    private static long Blocks(int elements) => (elements + BlockElements - 1) / BlockElements;
}
