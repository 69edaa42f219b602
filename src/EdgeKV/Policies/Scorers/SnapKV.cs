using System.Buffers;
using System.Numerics.Tensors;
using EdgeKV.Policies.Selection;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// SnapKV, arXiv 2404.14469: rows that the context's last queries attend to, smoothed along the positions, and these last rows themselves.
/// </summary>
/// <remarks>
/// s[h, j] = mean over the last w queries of their weights on j, average pooled over 5 neighbours, mean over the attention heads of KV head h. Only
/// positions before the window are scored and pooled; zeros lie beyond them. Knows the question where it ends the context.
/// </remarks>
public sealed record SnapKV : ScoredPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "snapkv";

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>Last tokens whose queries judge, and which stay, 1 and up; the context must be longer. Default: 64.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1.</exception>
    public int Window
    {
        get;
        init => field = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A window is 1 token and up.");
    }

    = 64;

    /// <summary>Positions that are averaged, an odd number of 1 and up. Default: 5.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1 or even.</exception>
    public int Kernel
    {
        get;
        init => field = value >= 1 && value % 2 == 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A kernel is an odd number of 1 and up.");
    }

    = 5;

    /// <inheritdoc/>
    public override ScoreRequest Request => new(Attention);

    private WindowAttention Attention => new(Window);

    /// <inheritdoc/>
    public override ProtectedRows Protect(int tokens, int rows) => new(0, Window);

    /// <inheritdoc/>
    public override void EnsureScorable(int tokens)
    {
        if (tokens <= Window)
        {
            throw new PlanException(
                $"{Name} needs a context that is longer than its window: {tokens} tokens are not more than {Window}. Give a smaller {nameof(Window)}.");
        }
    }

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        EnsureScorable(scores.Tokens);
        int scored = scores.Tokens - Window;
        Statistic attention = Attention;
        float[] rented = ArrayPool<float>.Shared.Rent(scores.Tokens);
        Span<float> mean = rented.AsSpan(0, scores.Tokens);
        for (int head = 0; head < scores.KvHeads[layer]; head++)
        {
            // Pooling and means are linear: one pooling serves the whole group.
            scores.CopyGroupMean(attention, layer, head, mean);
            TensorPrimitives.Divide(mean, scores.Queries(attention), mean);
            Span<float> row = destination.Slice(head * scores.Tokens, scores.Tokens);
            AveragePool.Smooth(mean[..scored], Kernel, row);
            row[scored..].Clear();
        }

        ArrayPool<float>.Shared.Return(rented);
    }
}
