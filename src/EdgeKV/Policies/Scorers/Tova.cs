using System.Numerics.Tensors;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// TOVA, arXiv 2401.06104: the rows that the context's last query attends to, mean over all attention heads of the layer, so that its KV heads
/// keep the same positions. The last one stays in any case. Knows the question where it ends the context.
/// </summary>
public sealed record Tova : ScoredPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "tova";

    private static readonly Statistic LastQuery = new WindowAttention(1);

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <inheritdoc/>
    public override ScoreRequest Request => new(LastQuery);

    /// <inheritdoc/>
    public override bool SharesPositions => true;

    /// <inheritdoc/>
    public override ProtectedRows Protect(int tokens, int rows) => new(0, 1);

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        Span<float> mean = destination[..scores.Tokens];
        scores.Values(LastQuery, layer, 0).CopyTo(mean);
        for (int head = 1; head < scores.Heads[layer]; head++)
        {
            TensorPrimitives.Add(mean, scores.Values(LastQuery, layer, head), mean);
        }

        TensorPrimitives.Divide(mean, scores.Heads[layer], mean);
        for (int head = 1; head < scores.KvHeads[layer]; head++)
        {
            mean.CopyTo(destination.Slice(head * scores.Tokens, scores.Tokens));
        }
    }
}
