namespace EdgeKV.Scoring;

/// <summary>
/// Cached keys and values, read a layer at a time: all layers together are as large as the cache itself in float32. Reads may come from many
/// threads at once.
/// </summary>
public interface ICacheRows
{
    /// <summary>Layers, 1 and up.</summary>
    int Layers { get; }

    /// <summary>KV heads of a layer, 1 and up.</summary>
    int KvHeads { get; }

    /// <summary>Context tokens, 1 and up.</summary>
    int Tokens { get; }

    /// <summary>How positions are encoded in the keys; null: not known, or not by one rotation.</summary>
    RotaryEncoding? Rotary { get; }

    /// <summary>Elements of a row, 0 and up; 0: there are no rows of this kind.</summary>
    /// <param name="kind">Keys or values.</param>
    int HeadSize(RowKind kind);

    /// <summary>Writes the rows of one layer, as the model made them.</summary>
    /// <param name="kind">Keys or values.</param>
    /// <param name="layer">0 to Layers - 1.</param>
    /// <param name="rows">Takes [tokens, kvHeads, headSize], no more and no less.</param>
    /// <exception cref="SessionStateException">The cache that they lie in has changed since, or is gone.</exception>
    void Read(RowKind kind, int layer, Span<float> rows);
}
