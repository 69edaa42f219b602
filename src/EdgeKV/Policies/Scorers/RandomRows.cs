using EdgeKV.Numerics;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// Rows at random: the baseline that every other policy has to beat. The same seed gives the same rows; every layer and KV head draws its own, where
/// the reference (NVIDIA/kvpress, random_press) gives a seed's numbers to all layers.
/// </summary>
public sealed record RandomRows : ScoredPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "random";

    private const float UnitOf24Bits = 1f / (1 << 24);

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>Which rows are drawn. Default: 0.</summary>
    public int Seed { get; init; }

    /// <inheritdoc/>
    public override ScoreRequest Request => ScoreRequest.None;

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ulong start = SplitMix64.Mix(((ulong)(uint)Seed << 32) | (uint)layer);
        for (int i = 0; i < destination.Length; i++)
        {
            destination[i] = (SplitMix64.Mix(start + (ulong)i) >> 40) * UnitOf24Bits;
        }
    }
}
