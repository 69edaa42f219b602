using EdgeKV.Engine;
using EdgeKV.Models;
using EdgeKV.Sessions;

namespace EdgeKV.Measurements.Subjects;

/// <summary>What both engines, EdgeKV and stock llama.cpp, are opened with.</summary>
/// <param name="Model">The GGUF file.</param>
public sealed record EngineOptions(string Model)
{
    /// <summary>Element type of K and V.</summary>
    public KvCacheType Type { get; init; } = KvCacheType.F16;

    /// <summary>Cells of the full cache.</summary>
    public int ContextSize { get; init; } = 1024;

    /// <summary>Tokens of one decode step.</summary>
    public int BatchSize { get; init; } = 512;

    /// <summary>Threads.</summary>
    public int Threads { get; init; } = 2;

    /// <summary>Layers on the GPU device; negative = all. Others run on the CPU.</summary>
    public int GpuLayers { get; init; }

    /// <summary>What computes EdgeKV's attention over a compact cache.</summary>
    public AttentionKernel Attention { get; init; }

    /// <summary>
    /// Whether stock llama.cpp uses flash attention; EdgeKV always does. Without it, stock's V is f16 where <see cref="Type"/> is quantized.
    /// </summary>
    public bool Flash { get; init; } = true;

    /// <summary>Whether stock llama.cpp's graph is watched, which masks and scores need.</summary>
    public bool Hook { get; init; }

    /// <summary>How EdgeKV makes a session of these options. It has its context from the beginning, and computes no learned scores.</summary>
    public SessionOptions Session => new()
    {
        ContextSize = ContextSize,
        CacheType = Type,
        BatchSize = BatchSize,
        Threads = Threads,
        Attention = Attention,
        LearnedScores = false,
    };

    /// <summary>Loads the model for EdgeKV.</summary>
    public EdgeModel Load() => EdgeModel.Load(Model, new ModelOptions { GpuLayers = GpuLayers });
}
