using System.Numerics.Tensors;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// KeyDiff, arXiv 2504.15364: the rows whose keys are least like the others, s[h, j] = -cos(k[h, j], c[h]) with c[h] the mean of k[h, j] / ||k[h, j]||
/// over the context. Over the whole context at once, as in the reference (NVIDIA/kvpress, keydiff_press); the paper lets blocks compete one
/// after another. Looks at no attention.
/// </summary>
/// <remarks>A key of length 0 is like nothing: 0.</remarks>
public sealed record KeyDiff : ScoredPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "keydiff";

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <inheritdoc/>
    public override ScoreRequest Request => new(new KeyLikeness());

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        TensorPrimitives.Negate(scores.Values(new KeyLikeness(), layer), destination);
    }
}
