using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// H2O, arXiv 2306.14048, once, after the prefill: heavy hitters, which are the rows that all queries of the context together attended to most,
/// s[h, j] = sum over i >= j of a[i, j], mean over the attention heads of KV head h; and the most recent rows. The paper evicts at every
/// decode step too. Feeds the whole context once more. Knows the question where it is part of the context.
/// </summary>
public sealed record H2O : ScoredPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "h2o";

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>The share of a KV head's rows that goes to the most recent ones, rounded down, 0 to 1. Default: 0.5.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public double Recent
    {
        get;
        init => field = value is >= 0 and <= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "The recent rows are a share of the budget: 0 to 1.");
    }

    = 0.5;

    /// <inheritdoc/>
    public override ScoreRequest Request => new(WindowAttention.All);

    /// <inheritdoc/>
    public override ProtectedRows Protect(int tokens, int rows) => new(0, (int)(rows * Recent));

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        for (int head = 0; head < scores.KvHeads[layer]; head++)
        {
            scores.CopyGroupMean(WindowAttention.All, layer, head, destination.Slice(head * scores.Tokens, scores.Tokens));
        }
    }
}
