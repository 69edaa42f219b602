using System.Numerics.Tensors;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// CurDKV, arXiv 2509.15038, as in the reference (NVIDIA/kvpress, cur_press): the rows with the longest keys and values among their neighbours,
/// s[h, j] = ||k[h, j]||^2 / K * ||v[h, j]||^2 / V with K and V the sums of the squares over j's window of 16 tokens. The first positions stay.
/// Looks at no attention.
/// </summary>
/// <remarks>Windows begin at position 0 and do not overlap; the last one may be short. In a window of nothing but zeros every share is 0.</remarks>
public sealed record CurDKV : ScoredPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "curdkv";

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>First positions that stay, 0 and up. Default: 4.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Sinks
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Sinks are 0 positions and up.");
    }

    = 4;

    /// <summary>Tokens of a window, 1 and up. Default: 16.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1.</exception>
    public int Window
    {
        get;
        init => field = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A window is 1 token and up.");
    }

    = 16;

    /// <inheritdoc/>
    public override ScoreRequest Request => new(new KeyNorms(), new ValueNorms());

    /// <inheritdoc/>
    public override ProtectedRows Protect(int tokens, int rows) => new(Sinks, 0);

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        for (int head = 0; head < scores.KvHeads[layer]; head++)
        {
            ReadOnlySpan<float> keys = scores.KeyNorms(layer, head);
            ReadOnlySpan<float> values = scores.ValueNorms(layer, head);
            Span<float> row = destination.Slice(head * scores.Tokens, scores.Tokens);

            // Both divisors are one for a whole window.
            TensorPrimitives.Multiply(keys, values, row);
            TensorPrimitives.Multiply(row, row, row);
            for (int start = 0; start < row.Length; start += Window)
            {
                int length = Math.Min(Window, row.Length - start);
                float all = TensorPrimitives.SumOfSquares(keys.Slice(start, length)) * TensorPrimitives.SumOfSquares(values.Slice(start, length));
                Span<float> window = row.Slice(start, length);
                if (all != 0)
                {
                    TensorPrimitives.Divide(window, all, window);
                }
            }
        }
    }
}
