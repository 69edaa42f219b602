using System.Globalization;
using EdgeKV.Models;

namespace EdgeKV.Policies;

/// <summary>Some heads of every layer, in a given order. Immutable; compares by value.</summary>
public sealed class HeadsByLayer : IEquatable<HeadsByLayer>
{
    private readonly int[][] _heads;

    /// <summary>Copies and checks the heads.</summary>
    /// <param name="heads">For every layer its heads, 0 and up, none of them twice; a layer may have none.</param>
    /// <exception cref="ArgumentException">There is no layer, or a head is below 0 or named twice in its layer.</exception>
    public HeadsByLayer(IEnumerable<IEnumerable<int>> heads)
    {
        ArgumentNullException.ThrowIfNull(heads);
        _heads = [.. heads.Select(layer => layer.ToArray())];
        if (_heads.Length == 0)
        {
            throw new ArgumentException("There are heads of no layer.", nameof(heads));
        }

        for (int layer = 0; layer < _heads.Length; layer++)
        {
            int[] own = _heads[layer];
            if (own.Any(head => head < 0) || own.Distinct().Count() < own.Length)
            {
                throw new ArgumentException(
                    $"Layer {layer} has heads {string.Join(", ", own)}: each is a number of 0 and up, named once.", nameof(heads));
            }
        }
    }

    /// <summary>Layers, 1 and up.</summary>
    public int Layers => _heads.Length;

    /// <summary>The heads of a layer, in the order in which they were given.</summary>
    /// <param name="layer">0 to Layers - 1.</param>
    public ReadOnlySpan<int> this[int layer] => _heads[layer];

    /// <inheritdoc/>
    public bool Equals(HeadsByLayer? other) => other is not null
        && Layers == other.Layers
        && _heads.Zip(other._heads).All(layer => layer.First.AsSpan().SequenceEqual(layer.Second));

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as HeadsByLayer);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        HashCode hash = default;
        foreach (int[] layer in _heads)
        {
            hash.Add(layer.Length);
            foreach (int head in layer)
            {
                hash.Add(head);
            }
        }

        return hash.ToHashCode();
    }

    /// <summary>For example "120 heads of 30 layers".</summary>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{_heads.Sum(layer => layer.Length)} heads of {Layers} layers");

    /// <summary>Refuses heads that a model does not have.</summary>
    /// <param name="heads">The model's heads of each layer, of the kind that these are.</param>
    /// <param name="policy">Whose heads they are, for the message.</param>
    /// <exception cref="PlanException">They are of another number of layers, or a layer has no such head.</exception>
    internal void ThrowIfNotOf(HeadLayout heads, string policy)
    {
        if (heads.Layers != Layers)
        {
            throw new PlanException($"{policy} has heads of {Layers} layers, but the scores are of {heads.Layers} layers: give those of this model.");
        }

        for (int layer = 0; layer < Layers; layer++)
        {
            foreach (int head in _heads[layer])
            {
                if (head >= heads[layer])
                {
                    throw new PlanException(
                        $"{policy} has head {head} of layer {layer}, but that layer of the scores has {heads[layer]}: give those of this model.");
                }
            }
        }
    }
}
