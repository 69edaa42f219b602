using System.Globalization;

namespace EdgeKV.Models;

/// <summary>
/// How many heads of one kind (attention heads or KV heads) each layer has, and where they lie in a list of all heads, layer after layer. Immutable;
/// compares by value.
/// </summary>
public sealed class HeadLayout : IEquatable<HeadLayout>
{
    private readonly int[] _first;

    /// <summary>A layout of given layers.</summary>
    /// <param name="heads">Heads of each layer, 1 and up; at least one layer.</param>
    /// <exception cref="ArgumentException">There is no layer, a layer has no head, or there are more heads than one list can hold.</exception>
    public HeadLayout(params IEnumerable<int> heads)
    {
        ArgumentNullException.ThrowIfNull(heads);
        List<int> first = [0];
        foreach (int own in heads)
        {
            if (own < 1 || own > Array.MaxLength - first[^1])
            {
                throw new ArgumentException(
                    $"Layer {first.Count - 1} has {own} heads: each layer has at least 1, and all layers together at most {Array.MaxLength}.", nameof(heads));
            }

            first.Add(first[^1] + own);
        }

        if (first.Count == 1)
        {
            throw new ArgumentException("There is at least one layer.", nameof(heads));
        }

        _first = [.. first];
        int[] each = [.. Enumerable.Range(0, Layers).Select(layer => this[layer])];
        Most = each.Max();
        IsUniform = each.Min() == Most;
    }

    /// <summary>Layers, 1 and up.</summary>
    public int Layers => _first.Length - 1;

    /// <summary>Heads of all layers: the length of a list with an entry for each.</summary>
    public int Total => _first[^1];

    /// <summary>Whether all layers have equally many heads.</summary>
    public bool IsUniform { get; }

    /// <summary>The most heads of a layer.</summary>
    public int Most { get; }

    /// <summary>Heads of a layer, 1 and up.</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    public int this[int layer] => _first[layer + 1] - _first[layer];

    /// <summary>A layout whose layers have equally many heads.</summary>
    /// <param name="layers">Layers, 1 and up.</param>
    /// <param name="heads">Heads of a layer, 1 and up.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is below 1.</exception>
    /// <exception cref="ArgumentException">There are more heads than one list can hold.</exception>
    public static HeadLayout Uniform(int layers, int heads)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(layers, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(heads, 1);
        return new HeadLayout(Enumerable.Repeat(heads, layers));
    }

    /// <summary>Where a layer's heads begin in a list of all heads.</summary>
    /// <param name="layer">0 to Layers, the end of the list.</param>
    public int First(int layer) => _first[layer];

    /// <summary>The layer of an entry of a list of all heads, and which of its heads it is.</summary>
    /// <param name="list">0 to Total - 1.</param>
    public (int Layer, int Head) At(int list)
    {
        int found = Array.BinarySearch(_first, list);
        int layer = found < 0 ? ~found - 1 : found;
        return (layer, list - _first[layer]);
    }

    /// <inheritdoc/>
    public bool Equals(HeadLayout? other) => other is not null && _first.AsSpan().SequenceEqual(other._first);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as HeadLayout);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        HashCode hash = default;
        foreach (int first in _first)
        {
            hash.Add(first);
        }

        return hash.ToHashCode();
    }

    /// <summary>For example "30 layers x 3", or "3 layers x 1, 3, 2" where layers differ.</summary>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture, $"{Layers} layers x {string.Join(", ", Enumerable.Range(0, IsUniform ? 1 : Layers).Select(layer => this[layer]))}");
}
