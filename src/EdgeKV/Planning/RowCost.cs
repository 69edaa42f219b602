namespace EdgeKV.Planning;

/// <summary>What rows cost in memory: needed only where a <see cref="Budget"/> is given in bytes.</summary>
/// <param name="BytesPerRow">Bytes of one row of one KV head, K and V together; 0 = unknown.</param>
/// <param name="ReservedPerHead">Rows that every KV head has beside its kept ones (room for later tokens, rounding up), 0 and up.</param>
public readonly record struct RowCost(long BytesPerRow, int ReservedPerHead = 0);
