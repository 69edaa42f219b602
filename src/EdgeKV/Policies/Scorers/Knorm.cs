using System.Numerics.Tensors;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>Knorm, arXiv 2406.11430: the rows whose keys are shortest, s[h, j] = -||k[h, j]||_2. Looks at no attention.</summary>
public sealed record Knorm : ScoredPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "knorm";

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <inheritdoc/>
    public override ScoreRequest Request => new(new KeyNorms());

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        for (int head = 0; head < scores.KvHeads[layer]; head++)
        {
            TensorPrimitives.Negate(scores.KeyNorms(layer, head), destination.Slice(head * scores.Tokens, scores.Tokens));
        }
    }
}
