namespace EdgeKV.Planning;

/// <summary>What rows cost in memory: needed only where a <see cref="Budget"/> is given in bytes.</summary>
/// <param name="BytesPerRow">Bytes of one row of one KV head, K and V together; 0 = unknown.</param>
/// <param name="ReservedPerHead">Rows that every KV head has beside its kept ones (room for later tokens, rounding up), 0 and up.</param>
public readonly record struct RowCost(long BytesPerRow, int ReservedPerHead = 0)
{
    /// <summary>Bytes of one row of one KV head of each layer, where layers differ; null: <see cref="BytesPerRow"/> in all.</summary>
    public IReadOnlyList<long>? BytesByLayer { get; init; }

    /// <summary>Bytes of one row of one KV head of a layer.</summary>
    /// <param name="layer">0 to layers - 1.</param>
    public long Bytes(int layer) => BytesByLayer?[layer] ?? BytesPerRow;
}
