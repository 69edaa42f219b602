namespace EdgeKV.Models;

/// <summary>The layers of a model that keep rows in the KV cache, and their heads. Layers may differ. Compares by value.</summary>
public sealed record CacheGeometry
{
    private readonly AttentionLayer[] _layers;
    private readonly int[] _firstKvHead;
    private readonly int[] _firstHead;

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

        _firstKvHead = new int[_layers.Length + 1];
        _firstHead = new int[_layers.Length + 1];
        for (int i = 0; i < _layers.Length; i++)
        {
            AttentionLayer layer = _layers[i];
            if (layer.KvHeads < 1 || layer.HeadSizeK < 1 || layer.HeadSizeV < 1 || layer.Heads < 1 || layer.Heads % layer.KvHeads != 0)
            {
                throw new ArgumentException($"Layer {i} is {layer}: every size is at least 1, and attention heads are a multiple of KV heads.", nameof(layers));
            }

            _firstKvHead[i + 1] = _firstKvHead[i] + layer.KvHeads;
            _firstHead[i + 1] = _firstHead[i] + layer.Heads;
        }
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

    /// <summary>KV heads of all layers together: the length of a list with one entry per KV head, layer after layer.</summary>
    public int TotalKvHeads => _firstKvHead[^1];

    /// <summary>Attention heads of all layers together.</summary>
    public int TotalHeads => _firstHead[^1];

    /// <summary>Whether all layers have the same heads of the same sizes.</summary>
    public bool IsUniform => Array.TrueForAll(_layers, layer => layer with { ModelLayer = 0 } == _layers[0] with { ModelLayer = 0 });

    /// <summary>Where a layer's KV heads begin in a list of all KV heads.</summary>
    /// <param name="layer">0 to the number of layers.</param>
    public int FirstKvHead(int layer) => _firstKvHead[layer];

    /// <summary>Where a layer's attention heads begin in a list of all attention heads.</summary>
    /// <param name="layer">0 to the number of layers.</param>
    public int FirstHead(int layer) => _firstHead[layer];

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
