using System.Numerics.Tensors;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// FINCH, arXiv 2408.00167: rows that the question at the end of the context attends to, later queries counting more, and the question itself.
/// </summary>
/// <remarks>
/// s[h, j] = mean over the last w queries i of their weights on j times i, their position, mean over the attention heads of KV head h (NVIDIA/kvpress,
/// finch_press). Nothing is pooled. The whole context is planned at once, where the paper reads in chunks, and keys stay at their
/// positions unless <c>CompressOptions.Rerotate</c> turns them to new ones, as the paper does.
/// </remarks>
public sealed record Finch : ScoredPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "finch";

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>Tokens of the question that ends the context, 1 and up; the context must be longer. Has no default: it must be given.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1.</exception>
    public int? Window
    {
        get;
        init => field = value is null or >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A window is 1 token and up.");
    }

    /// <inheritdoc/>
    public override ScoreRequest Request => new(new LateWindowAttention(Given));

    private int Given => Window
        ?? throw new ArgumentException($"{Name} needs a {nameof(Window)}: how many tokens the question has that ends the context.");

    /// <inheritdoc/>
    public override ProtectedRows Protect(int tokens, int rows) => new(0, Given);

    /// <inheritdoc/>
    public override void EnsureScorable(int tokens)
    {
        if (tokens <= Given)
        {
            throw new PlanException(
                $"{Name} needs a context that is longer than its question: {tokens} tokens are not more than {Given}. Give a smaller {nameof(Window)}.");
        }
    }

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        int window = Given;
        EnsureScorable(scores.Tokens);
        int scored = scores.Tokens - window;
        Statistic attention = new LateWindowAttention(window);
        for (int head = 0; head < scores.KvHeads[layer]; head++)
        {
            Span<float> row = destination.Slice(head * scores.Tokens, scores.Tokens);
            scores.CopyGroupMean(attention, layer, head, row);
            TensorPrimitives.Divide(row, window, row);
            row[scored..].Clear();
        }
    }
}
