using EdgeKV.Models;

namespace EdgeKV.Scoring;

/// <summary>The main direction of every KV head's queries, found once per model (Q-Filters, arXiv 2503.02812, section 3). Compares by value.</summary>
public sealed class QueryDirections : IEquatable<QueryDirections>
{
    // The array of a profile's table.
    internal const string Directions = "directions";

    private readonly ReadOnlyMemory<float> _values;

    /// <summary>Directions that were found.</summary>
    /// <param name="kvHeads">KV heads of each layer.</param>
    /// <param name="values">[KV heads of all layers, headSize], the sign so that s = -f k is large for keys that are attended to; not copied.</param>
    /// <exception cref="ArgumentException">The values do not fit the heads, or one is not a finite number.</exception>
    public QueryDirections(HeadLayout kvHeads, ReadOnlyMemory<float> values)
    {
        ArgumentNullException.ThrowIfNull(kvHeads);
        if (values.IsEmpty || values.Length % kvHeads.Total != 0)
        {
            throw new ArgumentException(
                $"{values.Length} numbers are not the same number for each of {kvHeads} KV heads.", nameof(values));
        }

        foreach (float value in values.Span)
        {
            if (!float.IsFinite(value))
            {
                throw new ArgumentException($"A direction has {value}: not a finite number.", nameof(values));
            }
        }

        KvHeads = kvHeads;
        HeadSize = values.Length / kvHeads.Total;
        _values = values;
    }

    /// <summary>KV heads of each layer.</summary>
    public HeadLayout KvHeads { get; }

    /// <summary>Numbers of a direction: all layers' keys have as many elements.</summary>
    public int HeadSize { get; }

    /// <summary>The direction of one KV head, [headSize].</summary>
    /// <param name="layer">0 to layers - 1.</param>
    /// <param name="kvHead">0 to the layer's KV heads - 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such layer or head.</exception>
    public ReadOnlySpan<float> Of(int layer, int kvHead)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)layer, (uint)KvHeads.Layers, nameof(layer));
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)kvHead, (uint)KvHeads[layer], nameof(kvHead));
        return _values.Span.Slice((KvHeads.First(layer) + kvHead) * HeadSize, HeadSize);
    }

    /// <inheritdoc/>
    public bool Equals(QueryDirections? other) =>
        other is not null && KvHeads.Equals(other.KvHeads) && _values.Span.SequenceEqual(other._values.Span);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as QueryDirections);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(KvHeads, HeadSize, _values.Span[0]);

    /// <summary>The directions of one layer, [kvHeads, headSize].</summary>
    /// <param name="layer">0 to layers - 1.</param>
    internal ReadOnlySpan<float> Of(int layer) => _values.Span.Slice(KvHeads.First(layer) * HeadSize, KvHeads[layer] * HeadSize);
}
