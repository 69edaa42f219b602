using System.Numerics.Tensors;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// Expected attention, arXiv 2510.00636: the rows that get the most of the attention to be expected from later queries, times the length of
/// their values. The first positions stay. Looks at no attention.
/// </summary>
/// <remarks>
/// p is the <see cref="FutureAttention"/> of the tokens after the sinks, mean over the attention heads of the KV head; s[j] = (p[j] + epsilon) ||v[j]||_2
/// (NVIDIA/kvpress, expected_attention_press).
/// </remarks>
public sealed record ExpectedAttention : ScoredPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "expected-attention";

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>First positions that stay and whose queries do not count, 0 and up; the context must be longer. Default: 4.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Sinks
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Sinks are 0 positions and up.");
    }

    = 4;

    /// <summary>Positions after the context at which queries are expected, 1 and up. Default: 512.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1.</exception>
    public int Ahead
    {
        get;
        init => field = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Positions ahead are 1 and up.");
    }

    = 512;

    /// <summary>Added to the expected attention before values weigh it, 0 to 1000: the larger, the more the values decide. Default: 0.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public double Epsilon
    {
        get;
        init => field = value is >= 0 and <= 1000
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Epsilon is 0 to 1000.");
    }

    /// <inheritdoc/>
    public override ScoreRequest Request => new(Attention, new ValueNorms());

    private FutureAttention Attention => new(Sinks, Ahead);

    /// <inheritdoc/>
    public override ProtectedRows Protect(int tokens, int rows) => new(Sinks, 0);

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        Statistic attention = Attention;
        for (int head = 0; head < scores.KvHeads[layer]; head++)
        {
            Span<float> row = destination.Slice(head * scores.Tokens, scores.Tokens);
            scores.CopyGroupMean(attention, layer, head, row);
            TensorPrimitives.Add(row, (float)Epsilon, row);
            TensorPrimitives.Multiply(row, scores.ValueNorms(layer, head), row);
        }
    }
}
