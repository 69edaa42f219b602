using EdgeKV.Models;

namespace EdgeKV.Scoring;

/// <summary>
/// Cached keys and values of a context: what is made of them where they lie, and the rows themselves, a layer at a time, as all layers together are as
/// large as the cache itself in float32. Calls may come from many threads at once.
/// </summary>
internal interface ICacheRows
{
    /// <summary>Layers and heads that have rows.</summary>
    CacheGeometry Geometry { get; }

    /// <summary>Context tokens, 1 and up.</summary>
    int Tokens { get; }

    /// <summary>How positions are encoded in the keys.</summary>
    /// <exception cref="UnsupportedModelException">Not by one rotation.</exception>
    RotaryEncoding Rotary { get; }

    /// <summary>Writes the rows of one layer, as the model made them.</summary>
    /// <param name="kind">Keys or values.</param>
    /// <param name="layer">0 to layers - 1.</param>
    /// <param name="rows">Takes [tokens, kvHeads, headSize], no more and no less.</param>
    void Read(RowKind kind, int layer, Span<float> rows);

    /// <summary>Writes what factors make of every row of one layer.</summary>
    /// <param name="form">How.</param>
    /// <param name="kind">Keys or values.</param>
    /// <param name="layer">0 to layers - 1.</param>
    /// <param name="factors">[kvHeads, forms, headSize], or [kvHeads, forms, headSize, headSize]; any number of forms.</param>
    /// <param name="results">Takes [kvHeads, forms, tokens], no more and no less.</param>
    void Apply(RowForm form, RowKind kind, int layer, ReadOnlySpan<float> factors, Span<float> results);

    /// <summary>Writes weighted sums over the rows of one layer.</summary>
    /// <param name="moment">Of what.</param>
    /// <param name="kind">Keys or values.</param>
    /// <param name="layer">0 to layers - 1.</param>
    /// <param name="weights">[kvHeads, sums, tokens]; any number of sums.</param>
    /// <param name="sums">Takes [kvHeads, sums, headSize], or [kvHeads, sums, headSize, headSize], no more and no less.</param>
    void Sum(RowMoment moment, RowKind kind, int layer, ReadOnlySpan<float> weights, Span<double> sums);

    /// <summary>KV heads of a layer, 1 and up.</summary>
    /// <param name="layer">0 to layers - 1.</param>
    int KvHeads(int layer) => Geometry.KvHeads[layer];

    /// <summary>Elements of a row of a layer, 1 and up.</summary>
    /// <param name="kind">Keys or values.</param>
    /// <param name="layer">0 to layers - 1.</param>
    int HeadSize(RowKind kind, int layer) => kind == RowKind.Keys ? Geometry.Layers[layer].HeadSizeK : Geometry.Layers[layer].HeadSizeV;
}
