namespace EdgeKV.Models;

/// <summary>How a model is loaded.</summary>
public sealed record ModelOptions
{
    /// <summary>Layers put on the first GPU; 0 none (default), negative all.</summary>
    public int GpuLayers { get; init; }

    /// <summary>Whether the file is mapped rather than read (default): it starts sooner, and processes share the pages.</summary>
    public bool MemoryMap { get; init; } = true;
}
