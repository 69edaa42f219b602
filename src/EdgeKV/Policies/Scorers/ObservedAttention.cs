using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// Observed attention, close to H2O (arXiv 2306.14048): the mean attention that a row got from the queries that could see it,
/// s[h, j] = sum over i >= j of a[i, j] / (tokens - j), mean over the attention heads of KV head h (NVIDIA/kvpress,
/// observed_attention_press). Feeds the whole context once more. Knows the question where it is part of the context.
/// </summary>
public sealed record ObservedAttention : ScoredPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "observed-attention";

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <inheritdoc/>
    public override ScoreRequest Request => new(WindowAttention.All);

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        for (int head = 0; head < scores.KvHeads[layer]; head++)
        {
            Span<float> row = destination.Slice(head * scores.Tokens, scores.Tokens);
            scores.CopyGroupMean(WindowAttention.All, layer, head, row);
            for (int token = 0; token < row.Length; token++)
            {
                row[token] /= row.Length - token;
            }
        }
    }
}
