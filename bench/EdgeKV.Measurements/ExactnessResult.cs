using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;

namespace EdgeKV.Measurements;

/// <summary>How far our engine is from stock llama.cpp for one model and one cache type. KL in nats, stock's distribution first.</summary>
/// <param name="Case">The model's name.</param>
/// <param name="Type">Element type of K and V.</param>
public sealed record ExactnessResult(string Case, KvCacheType Type)
{
    /// <summary>Stock against itself, one thread against two.</summary>
    public required Divergence Floor { get; init; }

    /// <summary>A plan that keeps every row.</summary>
    public required Divergence Identity { get; init; }

    /// <summary>
    /// All heads keep the same half, against llama_memory_seq_rm and the holes closed, so that rows are summed in the same order.
    /// </summary>
    public required Divergence Eviction { get; init; }

    /// <summary>The same with stock's later tokens in the holes: other order, so other rounding, which quantized caches amplify.</summary>
    public required Divergence EvictionInHoles { get; init; }

    /// <summary>Stock after llama_memory_seq_rm against itself, holes filled by later tokens against holes closed.</summary>
    public required Divergence OrderFloor { get; init; }

    /// <summary>A random composite plan, against the mask oracle.</summary>
    public required Divergence Composite { get; init; }

    /// <summary>A random ragged plan, heads without a row among them, against the mask oracle.</summary>
    public required Divergence Ragged { get; init; }

    /// <summary>Every token of a prompt that follows the composite and the ragged plan.</summary>
    public required Divergence Prompt { get; init; }

    /// <summary>The least of the maxima that the same plans give with every kept position shifted by one.</summary>
    public required double Sensitivity { get; init; }

    /// <summary>What KL must not pass: 1e-3, or three times the floor where that is more.</summary>
    public double Bound => Math.Max(1e-3, 3 * Floor.Max);

    /// <summary>The largest of all maxima.</summary>
    public double Worst => new[] { Identity.Max, Eviction.Max, Composite.Max, Ragged.Max, Prompt.Max }.Max();

    /// <summary>Whether shifted plans would be seen: 1e-2 and ten times the bound.</summary>
    public bool CanFail => Sensitivity >= Math.Max(1e-2, 10 * Bound);
}
