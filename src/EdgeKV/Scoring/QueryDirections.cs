namespace EdgeKV.Scoring;

/// <summary>The main direction of every KV head's queries, found once per model (Q-Filters, arXiv 2503.02812, section 3). Compares by value.</summary>
public sealed class QueryDirections : IEquatable<QueryDirections>
{
    // The array of a profile's table.
    internal const string Directions = "directions";

    private readonly ReadOnlyMemory<float> _values;

    /// <summary>Directions that were found.</summary>
    /// <param name="layers">Layers, 1 and up.</param>
    /// <param name="kvHeads">KV heads of a layer, 1 and up.</param>
    /// <param name="values">[layers, kvHeads, headSize], the sign so that s = -f k is large for keys that are attended to; not copied.</param>
    /// <exception cref="ArgumentException">A size is out of its range, the values do not fit them, or one is not a finite number.</exception>
    public QueryDirections(int layers, int kvHeads, ReadOnlyMemory<float> values)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(layers, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(kvHeads, 1);
        if (values.IsEmpty || values.Length % ((long)layers * kvHeads) != 0)
        {
            throw new ArgumentException(
                $"{values.Length} numbers are not the same number for each of {layers} layers x {kvHeads} KV heads.", nameof(values));
        }

        foreach (float value in values.Span)
        {
            if (!float.IsFinite(value))
            {
                throw new ArgumentException($"A direction has {value}: not a finite number.", nameof(values));
            }
        }

        Layers = layers;
        KvHeads = kvHeads;
        HeadSize = values.Length / (layers * kvHeads);
        _values = values;
    }

    /// <summary>Layers.</summary>
    public int Layers { get; }

    /// <summary>KV heads of a layer.</summary>
    public int KvHeads { get; }

    /// <summary>Numbers of a direction.</summary>
    public int HeadSize { get; }

    /// <summary>The direction of one KV head, [headSize].</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="kvHead">0 to KvHeads - 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such layer or head.</exception>
    public ReadOnlySpan<float> Of(int layer, int kvHead)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)layer, (uint)Layers, nameof(layer));
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)kvHead, (uint)KvHeads, nameof(kvHead));
        return _values.Span.Slice((layer * KvHeads + kvHead) * HeadSize, HeadSize);
    }

    /// <inheritdoc/>
    public bool Equals(QueryDirections? other) =>
        other is not null && Layers == other.Layers && KvHeads == other.KvHeads && _values.Span.SequenceEqual(other._values.Span);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as QueryDirections);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Layers, KvHeads, HeadSize, _values.Span[0]);

    /// <summary>The directions of one layer, [kvHeads, headSize].</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    internal ReadOnlySpan<float> Of(int layer) => _values.Span.Slice(layer * KvHeads * HeadSize, KvHeads * HeadSize);
}
