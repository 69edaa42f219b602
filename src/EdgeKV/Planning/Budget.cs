using System.Globalization;
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
    /// Composite rows that the budget allows over all layers. A composite row is one row in each KV head of one layer.
    /// </summary>
    /// <param name="layers">Layers, 1 and up.</param>
    /// <param name="kvHeads">KV heads of a layer, 1 and up.</param>
    /// <param name="tokens">Context tokens, 0 and up.</param>
    /// <param name="cost">What a row costs; needed for a budget in bytes.</param>
    /// <returns>0 to layers * tokens.</returns>
    /// <exception cref="PlanException">The budget is in bytes, and the cost is unknown or the bytes do not even hold the reserved rows.</exception>
    public long CompositeRows(int layers, int kvHeads, int tokens, RowCost cost = default)
    {
        long all = Cells(layers, kvHeads, tokens) / kvHeads;
        return Ratio is { } ratio
            ? CompressionRatio.Keep(all, ratio)
            : Rows is { } rows
                ? Math.Min(all, (long)rows * layers)
                : Math.Min(all, RowsInBytes(layers, kvHeads, cost) / kvHeads);
    }

    /// <summary>Rows that the budget allows over all layers and KV heads, where heads may differ.</summary>
    /// <param name="layers">Layers, 1 and up.</param>
    /// <param name="kvHeads">KV heads of a layer, 1 and up.</param>
    /// <param name="tokens">Context tokens, 0 and up.</param>
    /// <param name="cost">What a row costs; needed for a budget in bytes.</param>
    /// <returns>0 to layers * kvHeads * tokens.</returns>
    /// <exception cref="PlanException">The budget is in bytes, and the cost is unknown or the bytes do not even hold the reserved rows.</exception>
    public long RaggedRows(int layers, int kvHeads, int tokens, RowCost cost = default)
    {
        long all = Cells(layers, kvHeads, tokens);
        return Ratio is { } ratio
            ? CompressionRatio.Keep(all, ratio)
            : Rows is { } rows
                ? Math.Min(all, (long)rows * layers * kvHeads)
                : Math.Min(all, RowsInBytes(layers, kvHeads, cost));
    }

    /// <summary>Rows that the budget allows each KV head of each layer, where all keep equally many.</summary>
    /// <param name="layers">Layers, 1 and up.</param>
    /// <param name="kvHeads">KV heads of a layer, 1 and up.</param>
    /// <param name="tokens">Context tokens, 0 and up.</param>
    /// <param name="cost">What a row costs; needed for a budget in bytes.</param>
    /// <returns>0 to tokens.</returns>
    /// <exception cref="PlanException">The budget is in bytes, and the cost is unknown or the bytes do not even hold the reserved rows.</exception>
    public int EqualRows(int layers, int kvHeads, int tokens, RowCost cost = default)
    {
        long lists = Cells(layers, kvHeads, 1);
        return (int)(Ratio is { } ratio
            ? CompressionRatio.Keep(tokens, ratio)
            : Rows is { } rows
                ? Math.Min(tokens, rows)
                : Math.Min(tokens, RowsInBytes(layers, kvHeads, cost) / lists));
    }

    /// <summary>Rows that the budget allows each layer over all its KV heads, where all layers keep equally many and heads may differ.</summary>
    /// <param name="layers">Layers, 1 and up.</param>
    /// <param name="kvHeads">KV heads of a layer, 1 and up.</param>
    /// <param name="tokens">Context tokens, 0 and up.</param>
    /// <param name="cost">What a row costs; needed for a budget in bytes.</param>
    /// <returns>0 to kvHeads * tokens.</returns>
    /// <exception cref="PlanException">The budget is in bytes, and the cost is unknown or the bytes do not even hold the reserved rows.</exception>
    public int LayerRows(int layers, int kvHeads, int tokens, RowCost cost = default)
    {
        int all = checked((int)Cells(1, kvHeads, tokens));
        return (int)(Ratio is { } ratio
            ? CompressionRatio.Keep(all, ratio)
            : Rows is { } rows
                ? Math.Min(all, (long)rows * kvHeads)
                : Math.Min(all, RowsInBytes(layers, kvHeads, cost) / layers));
    }

    /// <summary>For example "ratio 0.8", "300 rows" or "67108864 bytes".</summary>
    public override string ToString() => Ratio is { } ratio
        ? string.Create(CultureInfo.InvariantCulture, $"ratio {ratio}")
        : Rows is { } rows
            ? string.Create(CultureInfo.InvariantCulture, $"{rows} rows")
            : string.Create(CultureInfo.InvariantCulture, $"{Bytes} bytes");

    private static long Cells(int layers, int kvHeads, int tokens)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(layers, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(kvHeads, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(tokens);
        return checked((long)layers * kvHeads * tokens);
    }

    private long RowsInBytes(int layers, int kvHeads, RowCost cost)
    {
        if (cost.BytesPerRow < 1)
        {
            throw new PlanException($"A budget of {Bytes} bytes needs to know what a row costs: give a {nameof(RowCost)} with at least 1 byte per row.");
        }

        if (cost.ReservedPerHead < 0)
        {
            throw new PlanException($"A KV head cannot reserve {cost.ReservedPerHead} rows.");
        }

        long reserved = checked((long)cost.ReservedPerHead * layers * kvHeads);
        long rows = Bytes.GetValueOrDefault() / cost.BytesPerRow - reserved;
        return rows >= 0
            ? rows
            : throw new PlanException(
                $"A budget of {Bytes} bytes is too small: the room for later tokens alone takes {checked(reserved * cost.BytesPerRow)} bytes.");
    }
}
