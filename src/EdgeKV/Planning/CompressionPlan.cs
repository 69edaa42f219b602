using System.Globalization;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using EdgeKV.Models;

namespace EdgeKV.Planning;

/// <summary>
/// Which rows of a KV cache stay: for every layer and KV head the kept token positions, ascending. Immutable, and valid from its
/// construction on. Compares by value.
/// </summary>
public sealed class CompressionPlan : IEquatable<CompressionPlan>
{
    private readonly int[] _counts;
    private readonly int[] _positions;
    private readonly int[] _starts;

    /// <summary>Copies and checks a plan.</summary>
    /// <param name="kvHeads">KV heads of each layer.</param>
    /// <param name="contextTokens">Context tokens, 1 and up; positions are below it.</param>
    /// <param name="counts">Kept rows of every KV head, layer after layer, 0 to <paramref name="contextTokens"/> each.</param>
    /// <param name="positions">For each layer and KV head in that order, its kept positions, ascending without repeats.</param>
    /// <param name="maxRows">The most rows that may stay over all layers and KV heads; null = any.</param>
    /// <exception cref="PlanException">The plan breaks one of these rules; the message names layer, head and value.</exception>
    public CompressionPlan(
        HeadLayout kvHeads, int contextTokens, ReadOnlySpan<int> counts, ReadOnlySpan<int> positions, long? maxRows = null)
        : this(kvHeads ?? throw new ArgumentNullException(nameof(kvHeads)), contextTokens, counts.ToArray(), positions.ToArray(), maxRows)
    {
    }

    /// <inheritdoc cref="CompressionPlan(HeadLayout, int, ReadOnlySpan{int}, ReadOnlySpan{int}, long?)"/>
    /// <param name="layers">Layers, 1 and up.</param>
    /// <param name="kvHeads">KV heads of a layer, 1 and up.</param>
    /// <param name="contextTokens">Context tokens, 1 and up; positions are below it.</param>
    /// <param name="counts">Kept rows, [layers, kvHeads], 0 to <paramref name="contextTokens"/> each.</param>
    /// <param name="positions">For each layer and KV head in that order, its kept positions, ascending without repeats.</param>
    /// <param name="maxRows">The most rows that may stay over all layers and KV heads; null = any.</param>
    public CompressionPlan(
        int layers,
        int kvHeads,
        int contextTokens,
        ReadOnlySpan<int> counts,
        ReadOnlySpan<int> positions,
        long? maxRows = null)
        : this(Alike(layers, kvHeads), contextTokens, counts.ToArray(), positions.ToArray(), maxRows)
    {
    }

    private CompressionPlan(HeadLayout kvHeads, int contextTokens, int[] counts, int[] positions, long? maxRows)
    {
        _starts = Check(kvHeads, contextTokens, counts, positions, maxRows);
        KvHeads = kvHeads;
        ContextTokens = contextTokens;
        _counts = counts;
        _positions = positions;
        IsComposite = HasEqualHeads(kvHeads, counts);
    }

    /// <summary>Layers.</summary>
    public int Layers => KvHeads.Layers;

    /// <summary>KV heads of each layer.</summary>
    public HeadLayout KvHeads { get; }

    /// <summary>Tokens of the context that the plan compresses.</summary>
    public int ContextTokens { get; }

    /// <summary>Kept rows over all layers and KV heads.</summary>
    public long TotalRows => _positions.Length;

    /// <summary>Compression ratio achieved: the share of the context's rows that goes, 0 to 1.</summary>
    public double Ratio => 1 - (double)TotalRows / ((double)KvHeads.Total * ContextTokens);

    /// <summary>Whether the KV heads of each layer keep equally many rows, so that a layer's attention is one call.</summary>
    public bool IsComposite { get; }

    /// <summary>The largest count of one KV head.</summary>
    public int MaxRows => _counts.AsSpan().IsEmpty ? 0 : TensorPrimitives.Max<int>(_counts);

    /// <summary>Kept rows of every KV head, layer after layer, as the native call takes them.</summary>
    public ReadOnlySpan<int> Counts => _counts;

    /// <summary>The kept positions of all layers and KV heads one after another, as the native call takes them.</summary>
    public ReadOnlySpan<int> FlatPositions => _positions;

    /// <summary>Rows that a KV head keeps.</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="kvHead">0 to the layer's KV heads - 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such layer or KV head.</exception>
    public int Rows(int layer, int kvHead) => _counts[Index(layer, kvHead)];

    /// <summary>Rows that a layer keeps over all its KV heads.</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such layer.</exception>
    public long Rows(int layer)
    {
        int first = Index(layer, 0);
        long rows = 0;
        foreach (int count in _counts.AsSpan(first, KvHeads[layer]))
        {
            rows += count;
        }

        return rows;
    }

    /// <summary>The positions that a KV head keeps, ascending.</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="kvHead">0 to the layer's KV heads - 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such layer or KV head.</exception>
    public ReadOnlySpan<int> Positions(int layer, int kvHead)
    {
        int index = Index(layer, kvHead);
        return _positions.AsSpan(_starts[index], _counts[index]);
    }

    /// <summary>Intersection over union of the rows that two plans of the same sizes keep, 0 to 1; 1 when both keep none.</summary>
    /// <param name="other">The other plan.</param>
    /// <exception cref="ArgumentException">It has other sizes.</exception>
    public double Overlap(CompressionPlan other)
    {
        ArgumentNullException.ThrowIfNull(other);
        if (!KvHeads.Equals(other.KvHeads) || ContextTokens != other.ContextTokens)
        {
            throw new ArgumentException("The plans are for different models or contexts.", nameof(other));
        }

        long both = 0;
        for (int layer = 0; layer < Layers; layer++)
        {
            for (int head = 0; head < KvHeads[layer]; head++)
            {
                ReadOnlySpan<int> here = Positions(layer, head);
                ReadOnlySpan<int> there = other.Positions(layer, head);
                for (int i = 0, j = 0; i < here.Length && j < there.Length;)
                {
                    int order = here[i].CompareTo(there[j]);
                    both += order == 0 ? 1 : 0;
                    i += order <= 0 ? 1 : 0;
                    j += order >= 0 ? 1 : 0;
                }
            }
        }

        long either = TotalRows + other.TotalRows - both;
        return either == 0 ? 1 : (double)both / either;
    }

    /// <summary>A plan that keeps every row.</summary>
    /// <param name="kvHeads">KV heads of each layer.</param>
    /// <param name="contextTokens">Context tokens, 1 and up.</param>
    /// <exception cref="PlanException">A size is out of its range.</exception>
    public static CompressionPlan KeepAll(HeadLayout kvHeads, int contextTokens)
    {
        int[] positions = new int[Math.Max(0, contextTokens)];
        for (int i = 0; i < positions.Length; i++)
        {
            positions[i] = i;
        }

        return Uniform(kvHeads, contextTokens, positions);
    }

    /// <inheritdoc cref="KeepAll(HeadLayout, int)"/>
    /// <param name="layers">Layers, 1 and up.</param>
    /// <param name="kvHeads">KV heads of a layer, 1 and up.</param>
    /// <param name="contextTokens">Context tokens, 1 and up.</param>
    public static CompressionPlan KeepAll(int layers, int kvHeads, int contextTokens) => KeepAll(Alike(layers, kvHeads), contextTokens);

    /// <summary>A plan in which every KV head keeps the same positions.</summary>
    /// <param name="kvHeads">KV heads of each layer.</param>
    /// <param name="contextTokens">Context tokens, 1 and up.</param>
    /// <param name="positions">The kept positions, ascending without repeats.</param>
    /// <exception cref="PlanException">A size or a position is out of its range, or positions do not ascend.</exception>
    public static CompressionPlan Uniform(HeadLayout kvHeads, int contextTokens, ReadOnlySpan<int> positions)
    {
        ArgumentNullException.ThrowIfNull(kvHeads);
        long total = (long)kvHeads.Total * positions.Length;
        if (total > Array.MaxLength)
        {
            throw new PlanException($"A plan of {total} rows is more than one plan can hold: {Array.MaxLength}.");
        }

        int[] counts = new int[kvHeads.Total];
        Array.Fill(counts, positions.Length);
        int[] all = new int[total];
        for (int i = 0; i < counts.Length; i++)
        {
            positions.CopyTo(all.AsSpan(i * positions.Length));
        }

        return new CompressionPlan(kvHeads, contextTokens, counts, all, maxRows: null);
    }

    /// <inheritdoc cref="Uniform(HeadLayout, int, ReadOnlySpan{int})"/>
    /// <param name="layers">Layers, 1 and up.</param>
    /// <param name="kvHeads">KV heads of a layer, 1 and up.</param>
    /// <param name="contextTokens">Context tokens, 1 and up.</param>
    /// <param name="positions">The kept positions, ascending without repeats.</param>
    public static CompressionPlan Uniform(int layers, int kvHeads, int contextTokens, ReadOnlySpan<int> positions) =>
        Uniform(Alike(layers, kvHeads), contextTokens, positions);

    /// <inheritdoc/>
    public bool Equals(CompressionPlan? other) => ReferenceEquals(this, other)
        || (other is not null
            && KvHeads.Equals(other.KvHeads)
            && ContextTokens == other.ContextTokens
            && _counts.AsSpan().SequenceEqual(other._counts)
            && _positions.AsSpan().SequenceEqual(other._positions));

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as CompressionPlan);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        HashCode hash = default;
        hash.Add(KvHeads);
        hash.Add(ContextTokens);
        hash.AddBytes(MemoryMarshal.AsBytes(_counts.AsSpan()));
        hash.AddBytes(MemoryMarshal.AsBytes(_positions.AsSpan()));
        return hash.ToHashCode();
    }

    /// <summary>For example "composite plan: 12393 of 62010 rows kept (ratio 0.8001) in 30 layers x 3 KV heads, 2 to 681 rows each".</summary>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{(IsComposite ? "composite" : "ragged")} plan: {TotalRows} of {(long)KvHeads.Total * ContextTokens} rows kept (ratio {Ratio:0.####}) in {KvHeads} KV heads, {TensorPrimitives.Min<int>(_counts)} to {MaxRows} rows each");

    /// <summary>Refuses to carry out a plan that leaves nothing of the context.</summary>
    /// <exception cref="PlanException">It keeps no row.</exception>
    public void ThrowIfEmpty() => EnsureRows(TotalRows, ContextTokens, KvHeads);

    /// <summary>Refuses a plan of no row, made or to be made.</summary>
    /// <param name="rows">The rows that it keeps, or the most that it can keep.</param>
    /// <param name="tokens">Tokens of the context.</param>
    /// <param name="kvHeads">KV heads of each layer.</param>
    /// <exception cref="PlanException">There is no row.</exception>
    internal static void EnsureRows(long rows, int tokens, HeadLayout kvHeads)
    {
        if (rows == 0)
        {
            throw new PlanException(
                $"The plan keeps no row of {tokens} tokens in {kvHeads} KV heads, so nothing of the context would be left: give a budget that keeps more, or a lower limit.");
        }
    }

    /// <summary>Takes over arrays that nobody else changes; checked all the same.</summary>
    internal static CompressionPlan Adopt(HeadLayout kvHeads, int contextTokens, int[] counts, int[] positions) =>
        new(kvHeads, contextTokens, counts, positions, maxRows: null);

    /// <inheritdoc cref="Adopt(HeadLayout, int, int[], int[])"/>
    /// <exception cref="PlanException">The plan passes the limit.</exception>
    internal static CompressionPlan Adopt(HeadLayout kvHeads, int contextTokens, int[] counts, int[] positions, RowLimit limit)
    {
        CompressionPlan plan = Adopt(kvHeads, contextTokens, counts, positions);
        long units = limit.Of(counts);
        return units <= limit.Units ? plan : throw new PlanException($"The plan keeps {limit.Text(units)}; its budget is {limit}.");
    }

    private static HeadLayout Alike(int layers, int kvHeads)
    {
        if (layers < 1)
        {
            throw new PlanException($"A plan needs at least 1 layer, not {layers}.");
        }

        if (kvHeads < 1)
        {
            throw new PlanException($"A plan needs at least 1 KV head per layer, not {kvHeads}.");
        }

        return (long)layers * kvHeads <= Array.MaxLength
            ? HeadLayout.Uniform(layers, kvHeads)
            : throw new PlanException($"{layers} layers of {kvHeads} KV heads are more than one plan can hold.");
    }

    private static int[] Check(
        HeadLayout kvHeads, int contextTokens, ReadOnlySpan<int> counts, ReadOnlySpan<int> positions, long? maxRows)
    {
        if (contextTokens < 1)
        {
            throw new PlanException($"A plan needs a context of at least 1 token, not {contextTokens}.");
        }

        if (counts.Length != kvHeads.Total)
        {
            throw new PlanException($"The plan has {counts.Length} counts; {kvHeads} KV heads need {kvHeads.Total}.");
        }

        long total = 0;
        for (int i = 0; i < counts.Length; i++)
        {
            if (counts[i] < 0 || counts[i] > contextTokens)
            {
                (int layer, int head) = kvHeads.At(i);
                throw new PlanException(
                    $"Layer {layer}, KV head {head} keeps {counts[i]} rows; a context of {contextTokens} tokens allows 0 to {contextTokens}.");
            }

            total += counts[i];
        }

        if (total != positions.Length)
        {
            throw new PlanException($"The counts add up to {total} rows, but the plan has {positions.Length} positions.");
        }

        if (total > maxRows)
        {
            throw new PlanException($"The plan keeps {total} rows; its budget is {maxRows}.");
        }

        int[] starts = new int[counts.Length];
        int start = 0;
        for (int layer = 0; layer < kvHeads.Layers; layer++)
        {
            for (int head = 0; head < kvHeads[layer]; head++)
            {
                int i = kvHeads.First(layer) + head;
                starts[i] = start;
                CheckHead(layer, head, contextTokens, positions.Slice(start, counts[i]));
                start += counts[i];
            }
        }

        return starts;
    }

    private static void CheckHead(int layer, int kvHead, int contextTokens, ReadOnlySpan<int> positions)
    {
        int previous = -1;
        for (int i = 0; i < positions.Length; i++)
        {
            int position = positions[i];
            if (position < 0 || position >= contextTokens)
            {
                throw new PlanException(
                    $"Layer {layer}, KV head {kvHead} keeps position {position} (row {i}); the context has positions 0 to {contextTokens - 1}.");
            }

            if (position <= previous)
            {
                throw new PlanException(
                    $"Layer {layer}, KV head {kvHead} keeps position {position} (row {i}) after position {previous}: positions must ascend.");
            }

            previous = position;
        }
    }

    private static bool HasEqualHeads(HeadLayout kvHeads, ReadOnlySpan<int> counts)
    {
        for (int layer = 0; layer < kvHeads.Layers; layer++)
        {
            ReadOnlySpan<int> own = counts.Slice(kvHeads.First(layer), kvHeads[layer]);
            if (own.ContainsAnyExcept(own[0]))
            {
                return false;
            }
        }

        return true;
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
