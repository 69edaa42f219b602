using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;

namespace EdgeKV.Measurements;

/// <summary>Our engine on a GPU device against the same run on the CPU. KL in nats, the CPU's distribution first.</summary>
/// <param name="Case">The model's name.</param>
/// <param name="Type">Element type of K and V.</param>
/// <param name="GpuLayers">Layers on the device; negative = all.</param>
public sealed record DeviceResult(string Case, KvCacheType Type, int GpuLayers)
{
    /// <summary>Stock llama.cpp with the full cache, device against CPU.</summary>
    public required Divergence Floor { get; init; }

    /// <summary>A plan that keeps every row.</summary>
    public required Divergence Identity { get; init; }

    /// <summary>A composite plan, decoded tokens and a prompt after it.</summary>
    public required Divergence Composite { get; init; }

    /// <summary>A ragged plan, decoded tokens and a prompt after it.</summary>
    public required Divergence Ragged { get; init; }

    /// <summary>
    /// The largest difference of a score, both aggregates: maxima, and sums divided by the queries. Both pass over the same rows, those that
    /// the CPU read: a last bit decides how a quantized row is rounded.
    /// </summary>
    public required double ScoresDiff { get; init; }

    /// <summary>The same where each pass goes over rows that its own device read.</summary>
    public required double ScoresDiffRead { get; init; }

    /// <summary>
    /// The same as <see cref="ScoresDiffRead"/> for stock llama.cpp, without flash attention (V is f16 there).
    /// </summary>
    public required double ScoresFloor { get; init; }

    /// <summary>The least KL that the same plans give, on the device, with every kept position shifted by one.</summary>
    public required double Sensitivity { get; init; }

    /// <summary>What KL must not pass.</summary>
    public double Bound => Math.Max(1e-3, 3 * Floor.Max);

    /// <summary>Whether shifted plans would be seen.</summary>
    public bool CanFail => Sensitivity >= Math.Max(1e-2, 10 * Bound);
}
