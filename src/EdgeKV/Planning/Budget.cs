using System.Globalization;
using EdgeKV.Models;
using EdgeKV.Numerics;

namespace EdgeKV.Planning;

/// <summary>
/// How much of a context's KV cache may stay: a compression ratio, rows per layer and KV head on average, or bytes. Compares by value.
/// </summary>
/// <remarks>Row counts truncate: see <see cref="CompressionRatio.Keep"/>.</remarks>
public sealed record Budget
{
    private Budget()
    {
    }

    /// <summary>The share removed, 0 (keep all) to below 1; null when the budget is given otherwise.</summary>
    public double? Ratio { get; private init; }

    /// <summary>Rows per layer and KV head on average, 1 and up; null when the budget is given otherwise.</summary>
    public int? Rows { get; private init; }

    /// <summary>Bytes of KV memory after compression, the room for later tokens included, 1 and up; null when the budget is given otherwise.</summary>
    public long? Bytes { get; private init; }

    /// <summary>
    /// A budget that removes a share of all rows. A ratio that leaves no row of a context is refused with a <see cref="PlanException"/> when the context is compressed.
    /// </summary>
    /// <param name="ratio">The share removed, 0 to below 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">The ratio is below 0, 1 or above, or not a number.</exception>
    public static Budget FromRatio(double ratio) => new() { Ratio = CompressionRatio.Checked(ratio) };

    /// <summary>A budget of so many rows per layer and KV head on average; more than the context has keeps all.</summary>
    /// <param name="rows">1 and up.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="rows"/> is below 1.</exception>
    public static Budget FromRows(int rows) => rows >= 1
        ? new Budget { Rows = rows }
        : throw new ArgumentOutOfRangeException(nameof(rows), rows, "A budget needs at least 1 row per layer and KV head.");

    /// <summary>A budget of so many bytes for all of K and V after compression; more than the cache has keeps all.</summary>
    /// <param name="bytes">1 and up.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="bytes"/> is below 1.</exception>
    public static Budget FromBytes(long bytes) => bytes >= 1
        ? new Budget { Bytes = bytes }
        : throw new ArgumentOutOfRangeException(nameof(bytes), bytes, "A budget needs at least 1 byte.");

    /// <summary>
    /// What the budget allows over all layers where rows are composite: a composite row is one row in each KV head of one layer, so it takes as many
    /// rows as the layer has KV heads.
    /// </summary>
    /// <param name="kvHeads">KV heads of each layer.</param>
    /// <param name="tokens">Context tokens, 0 and up.</param>
    /// <param name="cost">What a row costs; needed for a budget in bytes.</param>
    /// <returns>At most all of the context's rows.</returns>
    /// <exception cref="PlanException">The budget is in bytes, and the cost is unknown or the bytes do not even hold the reserved rows.</exception>
    public RowLimit CompositeRows(HeadLayout kvHeads, int tokens, RowCost cost = default) => Limit(kvHeads, tokens, cost, composite: true);

    /// <summary>What the budget allows over all layers and KV heads, where heads may differ.</summary>
    /// <param name="kvHeads">KV heads of each layer.</param>
    /// <param name="tokens">Context tokens, 0 and up.</param>
    /// <param name="cost">What a row costs; needed for a budget in bytes.</param>
    /// <returns>At most all of the context's rows.</returns>
    /// <exception cref="PlanException">The budget is in bytes, and the cost is unknown or the bytes do not even hold the reserved rows.</exception>
    public RowLimit RaggedRows(HeadLayout kvHeads, int tokens, RowCost cost = default) => Limit(kvHeads, tokens, cost, composite: false);

    /// <summary>Rows that the budget allows each KV head of each layer, where all keep equally many.</summary>
    /// <param name="kvHeads">KV heads of each layer.</param>
    /// <param name="tokens">Context tokens, 0 and up.</param>
    /// <param name="cost">What a row costs; needed for a budget in bytes.</param>
    /// <returns>0 to tokens.</returns>
    /// <exception cref="PlanException">The budget is in bytes, and the cost is unknown or the bytes do not even hold the reserved rows.</exception>
    public int EqualRows(HeadLayout kvHeads, int tokens, RowCost cost = default)
    {
        Check(kvHeads, tokens);
        return (int)(Ratio is { } ratio
            ? CompressionRatio.Keep(tokens, ratio)
            : Rows is { } rows
                ? Math.Min(tokens, rows)
                : Math.Min(tokens, BytesForRows(kvHeads, cost) / BytesPerToken(kvHeads, cost)));
    }

    /// <summary>
    /// Rows that the budget allows a layer over all its KV heads, where heads may differ and the layers share the budget by the KV heads that they have.
    /// </summary>
    /// <param name="kvHeads">KV heads of each layer.</param>
    /// <param name="layer">0 to layers - 1.</param>
    /// <param name="tokens">Context tokens, 0 and up.</param>
    /// <param name="cost">What a row costs; needed for a budget in bytes.</param>
    /// <returns>0 to the layer's KV heads * tokens.</returns>
    /// <exception cref="PlanException">The budget is in bytes, and the cost is unknown or the bytes do not even hold the reserved rows.</exception>
    public int LayerRows(HeadLayout kvHeads, int layer, int tokens, RowCost cost = default)
    {
        Check(kvHeads, tokens);
        int all = checked(kvHeads[layer] * tokens);
        return (int)(Ratio is { } ratio
            ? CompressionRatio.Keep(all, ratio)
            : Rows is { } rows
                ? Math.Min(all, (long)rows * kvHeads[layer])
                : (long)Int128.Min(all, (Int128)BytesForRows(kvHeads, cost) * kvHeads[layer] / BytesPerToken(kvHeads, cost)));
    }

    /// <summary>For example "ratio 0.8", "300 rows" or "67108864 bytes".</summary>
    public override string ToString() => Ratio is { } ratio
        ? string.Create(CultureInfo.InvariantCulture, $"ratio {ratio}")
        : Rows is { } rows
            ? string.Create(CultureInfo.InvariantCulture, $"{rows} rows")
            : string.Create(CultureInfo.InvariantCulture, $"{Bytes} bytes");

    private static void Check(HeadLayout kvHeads, int tokens)
    {
        ArgumentNullException.ThrowIfNull(kvHeads);
        ArgumentOutOfRangeException.ThrowIfNegative(tokens);
    }

    // Bytes of a token's rows in all layers and KV heads.
    private static long BytesPerToken(HeadLayout kvHeads, RowCost cost)
    {
        long bytes = 0;
        for (int layer = 0; layer < kvHeads.Layers; layer++)
        {
            bytes = checked(bytes + kvHeads[layer] * cost.Bytes(layer));
        }

        return bytes;
    }

    private RowLimit Limit(HeadLayout kvHeads, int tokens, RowCost cost, bool composite)
    {
        Check(kvHeads, tokens);
        long bytes = Bytes is null ? 0 : BytesForRows(kvHeads, cost);

        // What all rows have in common is one unit, so that rows that count alike are counted, not weighed.
        long[] perRow = new long[kvHeads.Layers];
        long unit = 0;
        for (int layer = 0; layer < perRow.Length; layer++)
        {
            perRow[layer] = (Bytes is null ? 1 : cost.Bytes(layer)) * (composite ? kvHeads[layer] : 1);
            unit = Divisor(unit, perRow[layer]);
        }

        long perToken = 0;
        for (int layer = 0; layer < perRow.Length; layer++)
        {
            perRow[layer] /= unit;
            perToken += perRow[layer] * (composite ? 1 : kvHeads[layer]);
        }

        long all = checked(perToken * tokens);
        long units = Ratio is { } ratio
            ? CompressionRatio.Keep(all, ratio)
            : Rows is { } rows
                ? (long)Int128.Min(all, (Int128)rows * perToken)
                : Math.Min(all, bytes / unit);
        return Bytes is not null && !IsOneSize(kvHeads, cost)
            ? new RowLimit(kvHeads, units, perRow, composite, unit, "bytes")
            : new RowLimit(kvHeads, units, perRow, composite, Bytes is null ? unit : unit / cost.Bytes(0), "rows");
    }

    // The greatest that both have in common; the other one's where one is 0.
    private static long Divisor(long one, long other)
    {
        while (other != 0)
        {
            (one, other) = (other, one % other);
        }

        return one;
    }

    private static bool IsOneSize(HeadLayout kvHeads, RowCost cost) =>
        Enumerable.Range(0, kvHeads.Layers).All(layer => cost.Bytes(layer) == cost.Bytes(0));

    // Bytes without those of reserved rows.
    private long BytesForRows(HeadLayout kvHeads, RowCost cost)
    {
        for (int layer = 0; layer < kvHeads.Layers; layer++)
        {
            if (cost.Bytes(layer) < 1)
            {
                throw new PlanException($"A budget of {Bytes} bytes needs to know what a row costs: give a {nameof(RowCost)} with at least 1 byte per row.");
            }
        }

        if (cost.ReservedPerHead < 0)
        {
            throw new PlanException($"A KV head cannot reserve {cost.ReservedPerHead} rows.");
        }

        long reserved = checked(cost.ReservedPerHead * BytesPerToken(kvHeads, cost));
        return Bytes.GetValueOrDefault() >= reserved
            ? Bytes.GetValueOrDefault() - reserved
            : throw new PlanException($"A budget of {Bytes} bytes is too small: the room for later tokens alone takes {reserved} bytes.");
    }
}
