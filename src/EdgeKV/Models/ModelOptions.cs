namespace EdgeKV.Models;

/// <summary>How a model is loaded.</summary>
public sealed record ModelOptions
{
    /// <summary>Layers put on GPUs, the output layer counted as one: 0 none (default), negative all, null as many as fit.</summary>
    /// <remarks>
    /// What fits is found out before loading: the backends say how much memory is free, and llama.cpp says what weights, a cache of
    /// <see cref="FitContextSize"/> tokens and a batch would take. A sixteenth of the memory stays free. <see cref="EdgeModel.GpuLayers"/> has the number.
    /// </remarks>
    public int? GpuLayers { get; init; } = 0;

    /// <summary>Devices that layers are put on, by <see cref="BackendDevice.Name"/>, in this order; empty: those that llama.cpp takes (default).</summary>
    public IReadOnlyList<string> Devices { get; init; } = [];

    /// <summary>Tokens of the context that has to fit beside the weights where <see cref="GpuLayers"/> is null, 1 and up; the model's window counts where it is less.</summary>
    public int FitContextSize { get; init; } = 4096;

    /// <summary>The cache type of that context.</summary>
    public KvCacheType FitCacheType { get; init; } = KvCacheType.F16;

    /// <summary>Whether the file is mapped rather than read (default): it starts sooner, and processes share the pages.</summary>
    public bool MemoryMap { get; init; } = true;
}
