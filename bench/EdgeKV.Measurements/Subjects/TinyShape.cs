namespace EdgeKV.Measurements.Subjects;

/// <summary>What a tiny model's tensors are sized by.</summary>
internal sealed record TinyShape(string Architecture, int Layers, int Heads, int KvHeads, int HeadSize, int Embedding)
{
    public int FeedForward => 2 * Embedding;

    public int ValueSize { get; init; } = HeadSize;

    public int RopeSize { get; init; } = HeadSize;

    public int Window { get; init; } = 4096;

    public bool Fused { get; init; }

    public bool FusedGate { get; init; }

    public bool Biases { get; init; }

    public bool HeadNorms { get; init; }

    public int[]? HeadsByLayer { get; init; }

    public int[]? KvHeadsByLayer { get; init; }

    public bool TiedOutput { get; init; }

    public string OutputNorm { get; init; } = "output_norm.weight";
}
