using EdgeKV.Models;

namespace EdgeKV.Compression;

/// <summary>What a compression did, and what it took.</summary>
public sealed record CompressionReport
{
    /// <summary>The policy's name; "plan" when a finished plan was applied.</summary>
    public required string Policy { get; init; }

    /// <summary>The scores that the policy planned by, and what they cost; null when a finished plan was applied.</summary>
    public ScoreCost? Scores { get; init; }

    /// <summary>Layers.</summary>
    public int Layers => KvHeads.Layers;

    /// <summary>KV heads of each layer.</summary>
    public required HeadLayout KvHeads { get; init; }

    /// <summary>Tokens of the context, at positions 0 to ContextTokens - 1.</summary>
    public required int ContextTokens { get; init; }

    /// <summary>The ratio that the budget asked for; null when it was given in rows, in bytes or by a threshold alone, or a finished plan was applied.</summary>
    public double? RatioAsked { get; init; }

    /// <summary>The share of the context's rows that is gone: 1 - kept / (KV heads of all layers x context tokens).</summary>
    public required double RatioAchieved { get; init; }

    /// <summary>Whether the KV heads of each layer keep equally many rows.</summary>
    public required bool IsComposite { get; init; }

    /// <summary>Whether positions have closed up: the kept rows are at 0 to rows - 1, and the next token comes after them.</summary>
    public bool Rerotated { get; init; }

    /// <summary>Bytes of one row of one KV head, key and value together, by layer.</summary>
    public required IReadOnlyList<long> RowBytes { get; init; }

    /// <summary>The context's rows before, of every KV head, layer after layer.</summary>
    public required IReadOnlyList<int> RowsBefore { get; init; }

    /// <summary>The context's rows after, of every KV head, layer after layer.</summary>
    public required IReadOnlyList<int> RowsAfter { get; init; }

    /// <summary>Rows for later tokens after, rounding included, of every KV head, layer after layer.</summary>
    public required IReadOnlyList<int> RoomAfter { get; init; }

    /// <summary>
    /// Bytes of the cache's buffers before, as the backends report them: a full cache's unused cells are among them. Compressed while
    /// reading, when there never was a full cache: what the context's rows would have taken.
    /// </summary>
    public required long BytesBefore { get; init; }

    /// <summary>Bytes of the cache's buffers after, as the backends report them: room and rounding up are among them.</summary>
    public required long BytesAfter { get; init; }

    /// <summary>
    /// The most bytes that the cache's buffers took while the context was read, as the backends reported them after every step; null when it
    /// was not compressed while reading. While rows are moved, the buffers before and after that step are there together.
    /// </summary>
    public long? PeakBytes { get; init; }

    /// <summary>Time that feeding the document took.</summary>
    public required TimeSpan Prefill { get; init; }

    /// <summary>Time that the score pass took; without one, that fetching the scores took.</summary>
    public required TimeSpan Scoring { get; init; }

    /// <summary>Time that the policy took.</summary>
    public required TimeSpan Planning { get; init; }

    /// <summary>Dropped rows whose values went into kept ones, over all layers and KV heads; 0 where none were asked to.</summary>
    public long MergedRows { get; init; }

    /// <summary>Time that finding those rows took, rewriting their values being a part of <see cref="Applying"/>; null where none were asked to.</summary>
    public TimeSpan? Merging { get; init; }

    /// <summary>Time that rewriting the cache took, and turning keys or merging values where that was asked for.</summary>
    public required TimeSpan Applying { get; init; }

    /// <summary>Decode steps per second over the cache as it was; null when not measured.</summary>
    public double? TokensPerSecondBefore { get; init; }

    /// <summary>Decode steps per second over the compressed cache; null when not measured.</summary>
    public double? TokensPerSecondAfter { get; init; }

    /// <summary>The context's rows over all layers and KV heads before.</summary>
    public long TotalRowsBefore => Sum(RowsBefore);

    /// <summary>The context's rows over all layers and KV heads after.</summary>
    public long TotalRowsAfter => Sum(RowsAfter);

    /// <summary>Bytes of the context's rows before, without unused cells.</summary>
    public long TotalRowBytesBefore => Sum(RowsBefore, RowBytes);

    /// <summary>Bytes of the context's rows after, without room.</summary>
    public long TotalRowBytesAfter => Sum(RowsAfter, RowBytes);

    /// <summary>Bytes of the context's rows of one KV head before, without unused cells.</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="kvHead">0 to the layer's KV heads - 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such layer or KV head.</exception>
    public long HeadBytesBefore(int layer, int kvHead) => RowsBefore[Index(layer, kvHead)] * RowBytes[layer];

    /// <summary>Bytes of one KV head after, its room included.</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="kvHead">0 to the layer's KV heads - 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such layer or KV head.</exception>
    public long HeadBytesAfter(int layer, int kvHead) =>
        ((long)RowsAfter[Index(layer, kvHead)] + RoomAfter[Index(layer, kvHead)]) * RowBytes[layer];

    /// <summary>The context's rows of a layer after, over all its KV heads.</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such layer.</exception>
    public long LayerRowsAfter(int layer)
    {
        long rows = 0;
        for (int head = 0; head < KvHeads[layer]; head++)
        {
            rows += RowsAfter[Index(layer, head)];
        }

        return rows;
    }

    /// <summary>Bytes of the context's rows of a layer before, without unused cells.</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such layer.</exception>
    public long LayerBytesBefore(int layer)
    {
        long bytes = 0;
        for (int head = 0; head < KvHeads[layer]; head++)
        {
            bytes += HeadBytesBefore(layer, head);
        }

        return bytes;
    }

    /// <summary>Bytes of a layer after, the room of its KV heads included.</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such layer.</exception>
    public long LayerBytesAfter(int layer)
    {
        long bytes = 0;
        for (int head = 0; head < KvHeads[layer]; head++)
        {
            bytes += HeadBytesAfter(layer, head);
        }

        return bytes;
    }

    private long Sum(IReadOnlyList<int> rows, IReadOnlyList<long> bytes)
    {
        long sum = 0;
        for (int list = 0; list < rows.Count; list++)
        {
            sum += rows[list] * bytes[KvHeads.At(list).Layer];
        }

        return sum;
    }

    private static long Sum(IReadOnlyList<int> rows)
    {
        long sum = 0;
        foreach (int row in rows)
        {
            sum += row;
        }

        return sum;
    }

    private int Index(int layer, int kvHead)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(layer);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(layer, Layers);
        ArgumentOutOfRangeException.ThrowIfNegative(kvHead);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(kvHead, KvHeads[layer]);
        return KvHeads.First(layer) + kvHead;
    }
}
