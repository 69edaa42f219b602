namespace EdgeKV.Benchmarks;

/// <summary>A model's heads over a context.</summary>
/// <param name="Name">The model and the context's length.</param>
/// <param name="Layers">Layers.</param>
/// <param name="Heads">Attention heads of a layer.</param>
/// <param name="KvHeads">KV heads of a layer.</param>
/// <param name="Tokens">Context tokens.</param>
public sealed record Shape(string Name, int Layers, int Heads, int KvHeads, int Tokens)
{
    /// <inheritdoc/>
    public override string ToString() => Name;
}
