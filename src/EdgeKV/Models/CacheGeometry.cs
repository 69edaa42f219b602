namespace EdgeKV.Models;

/// <summary>The layers of a model that keep rows in the KV cache, and their heads. Layers may differ. Compares by value.</summary>
public sealed record CacheGeometry
{
    private readonly AttentionLayer[] _layers;

    /// <summary>A geometry of given layers.</summary>
    /// <param name="layers">At least one, in the order of the model.</param>
    /// <exception cref="ArgumentException">There is no layer, or a layer has a size below 1 or attention heads that do not share its KV heads evenly.</exception>
    public CacheGeometry(params IEnumerable<AttentionLayer> layers)
    {
        ArgumentNullException.ThrowIfNull(layers);
        _layers = [.. layers];
        if (_layers.Length == 0)
        {
            throw new ArgumentException("A KV cache has at least one layer.", nameof(layers));
        }

        for (int i = 0; i < _layers.Length; i++)
        {
            AttentionLayer layer = _layers[i];
            if (layer.KvHeads < 1 || layer.HeadSizeK < 1 || layer.HeadSizeV < 1 || layer.Heads < 1 || layer.Heads % layer.KvHeads != 0)
            {
                throw new ArgumentException($"Layer {i} is {layer}: every size is at least 1, and attention heads are a multiple of KV heads.", nameof(layers));
            }
        }

        Heads = new HeadLayout(_layers.Select(layer => layer.Heads));
        KvHeads = new HeadLayout(_layers.Select(layer => layer.KvHeads));
    }

    /// <summary>A geometry whose layers are all alike.</summary>
    /// <param name="layers">Layers, 1 and up.</param>
    /// <param name="heads">Attention heads of a layer.</param>
    /// <param name="kvHeads">KV heads of a layer.</param>
    /// <param name="headSizeK">Elements of a key.</param>
    /// <param name="headSizeV">Elements of a value.</param>
    public static CacheGeometry Uniform(int layers, int heads, int kvHeads, int headSizeK, int headSizeV) =>
        new(Enumerable.Range(0, layers).Select(layer => new AttentionLayer(layer, heads, kvHeads, headSizeK, headSizeV)));

    /// <summary>The layers.</summary>
    public IReadOnlyList<AttentionLayer> Layers => _layers;

    /// <summary>Attention heads of each layer.</summary>
    public HeadLayout Heads { get; }

    /// <summary>KV heads of each layer.</summary>
    public HeadLayout KvHeads { get; }

    /// <summary>Whether all layers have the same heads of the same sizes.</summary>
    public bool IsUniform => Array.TrueForAll(_layers, layer => layer with { ModelLayer = 0 } == _layers[0] with { ModelLayer = 0 });

    /// <summary>Attention heads that share a KV head of a layer: KV head h serves attention heads h * size and the size - 1 after it.</summary>
    /// <param name="layer">0 to the number of layers - 1.</param>
    public int GroupSize(int layer) => _layers[layer].Heads / _layers[layer].KvHeads;

    /// <summary>The heads that a statistic has rows of.</summary>
    /// <param name="perAttentionHead">Whether these are attention heads; otherwise KV heads.</param>
    internal HeadLayout Rows(bool perAttentionHead) => perAttentionHead ? Heads : KvHeads;

    /// <inheritdoc/>
    public bool Equals(CacheGeometry? other) => other is not null && _layers.AsSpan().SequenceEqual(other._layers);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        HashCode hash = default;
        foreach (AttentionLayer layer in _layers)
        {
            hash.Add(layer);
        }

        return hash.ToHashCode();
    }
}
