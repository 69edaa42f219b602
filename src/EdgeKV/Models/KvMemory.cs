using EdgeKV.Numerics;

namespace EdgeKV.Models;

/// <summary>
/// What the KV cache of a model costs, and how much context fits into given memory. Pure arithmetic on the model's sizes: room for later
/// tokens, rounding up of rows and the model's weights are not in it.
/// </summary>
/// <param name="Geometry">The layers that keep rows, and their heads.</param>
public sealed record KvMemory(CacheGeometry Geometry)
{
    private const int BlockElements = 32;

    /// <summary>Whether a cache of this type can hold the model's rows: a quantized type takes head sizes that are a multiple of its blocks.</summary>
    /// <param name="type">Element type.</param>
    public bool Holds(KvCacheType type) => UnheldLayer(type) is null;

    /// <summary>Bytes of one row: key and value of one token in one KV head of a layer.</summary>
    /// <param name="layer">0 to the number of layers - 1.</param>
    /// <param name="type">Element type.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such type.</exception>
    public long BytesPerRow(int layer, KvCacheType type)
    {
        AttentionLayer own = Geometry.Layers[layer];
        return Bytes(own.HeadSizeK, type) + Bytes(own.HeadSizeV, type);
    }

    /// <summary>Bytes of one token over all layers and KV heads.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such type.</exception>
    public long BytesPerToken(KvCacheType type)
    {
        long bytes = 0;
        for (int layer = 0; layer < Geometry.Layers.Count; layer++)
        {
            bytes = checked(bytes + Geometry.KvHeads[layer] * BytesPerRow(layer, type));
        }

        return bytes;
    }

    /// <summary>Bytes that a context takes after a share of its rows has gone, rows counting as the mean of all where layers have other head sizes.</summary>
    /// <param name="type">Element type.</param>
    /// <param name="tokens">Length of the context, 0 and up.</param>
    /// <param name="ratio">The share removed, 0 to below 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">An argument is out of its range.</exception>
    public long Bytes(KvCacheType type, int tokens, double ratio = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(tokens);
        return (long)((Int128)CompressionRatio.Keep((long)Geometry.KvHeads.Total * tokens, ratio) * BytesPerToken(type) / Geometry.KvHeads.Total);
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
        long rows = (long)((Int128)memory * Geometry.KvHeads.Total / BytesPerToken(type));

        // Keep truncates and never falls as tokens rise: the answer is where it first passes the rows there are.
        long low = 0;
        long high = int.MaxValue;
        while (low < high)
        {
            long middle = low + (high - low + 1) / 2;
            if (CompressionRatio.Keep(Geometry.KvHeads.Total * middle, ratio) <= rows)
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

    /// <summary>Refuses a cache type that cannot hold the model's rows: see <see cref="Holds"/>.</summary>
    /// <param name="type">Element type.</param>
    /// <exception cref="UnsupportedModelException">It cannot; the message says why.</exception>
    public void EnsureHolds(KvCacheType type)
    {
        if (UnheldLayer(type) is { } layer)
        {
            throw new UnsupportedModelException(
                $"Layer {layer.ModelLayer} of the model has keys of {layer.HeadSizeK} numbers and values of {layer.HeadSizeV}, which cannot be kept in {type.ToString().ToLowerInvariant()}: "
                + $"it takes multiples of {BlockElements}. Use f16.");
        }
    }

    private AttentionLayer? UnheldLayer(KvCacheType type) => type is KvCacheType.F32 or KvCacheType.F16
        ? null
        : Geometry.Layers.Cast<AttentionLayer?>().FirstOrDefault(layer => layer!.Value.HeadSizeK % BlockElements != 0 || layer.Value.HeadSizeV % BlockElements != 0);

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
