using System.Buffers;
using System.Numerics.Tensors;
using EdgeKV.Scoring;

namespace EdgeKV.Policies;

/// <summary>
/// Expected attention, arXiv 2510.00636: the rows that get the most of the attention to be expected from later queries, times the length of
/// their values. The first positions stay. Looks at no attention.
/// </summary>
/// <remarks>
/// <para>
/// Per attention head, over the tokens after the sinks: u and C are mean and covariance of these tokens' queries before position encoding, Q is the
/// mean rotation of the next 512 positions, u' = Qu, C' = QCQ^T. z[j] = k[j] u' / sqrt(d) + k[j]^T C' k[j] / (2d) with d the head size; p = softmax of
/// z over j; mean over the attention heads of the KV head; s[j] = (p[j] + epsilon) ||v[j]||_2 (NVIDIA/kvpress, expected_attention_press).
/// </para>
/// <para>
/// Cost: heads * tokens * headSize^2 / 2 multiplications a layer. Memory: the keys of one layer in float32 per thread.
/// </para>
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

    /// <summary>Added to the expected attention before values weigh it, 0 and up: the larger, the more the values decide. Default: 0.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0 or not finite.</exception>
    public double Epsilon
    {
        get;
        init => field = value >= 0 && double.IsFinite(value)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Epsilon is a finite number of 0 and up.");
    }

    /// <inheritdoc/>
    public override ScoreRequest Request => new(
        new CacheRows(RowKind.Keys),
        new ValueNorms(),
        new QueryMoments(QueryMoment.Mean, Sinks),
        new QueryMoments(QueryMoment.Covariance, Sinks));

    /// <inheritdoc/>
    public override ProtectedRows Protect(int tokens, int rows) => new(Sinks, 0);

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        var queries = new FutureQueries(scores, Name, Sinks, Ahead);
        int scored = scores.Tokens - Sinks;
        using var keys = new LayerRows(scores, RowKind.Keys, layer);
        int size = keys.HeadSize;
        float[] rented = ArrayPool<float>.Shared.Rent(checked(scored + size + size * size));
        try
        {
            Span<float> expected = rented.AsSpan(0, scored);
            Span<float> mean = rented.AsSpan(scored, size);
            Span<float> covariance = rented.AsSpan(scored + size, size * size);
            destination.Clear();
            for (int head = 0; head < scores.Heads; head++)
            {
                int kvHead = head / scores.GroupSize;
                queries.CopyMean(layer, head, mean);
                queries.CopyCovariance(layer, head, size, covariance);
                TensorPrimitives.Divide(mean, MathF.Sqrt(size), mean);
                TensorPrimitives.Divide(covariance, size, covariance);
                for (int i = 0; i < size; i++)
                {
                    // One triangle stands for both, so the halves of what lies beside the diagonal are whole.
                    covariance[i * size + i] /= 2;
                }

                for (int token = 0; token < scored; token++)
                {
                    expected[token] = Exponent(keys.Row(kvHead, Sinks + token), mean, covariance);
                }

                TensorPrimitives.Subtract(expected, TensorPrimitives.Max<float>(expected), expected);
                TensorPrimitives.Exp(expected, expected);
                Span<float> row = destination.Slice(kvHead * scores.Tokens + Sinks, scored);
                TensorPrimitives.MultiplyAdd(expected, 1 / (TensorPrimitives.Sum<float>(expected) * scores.GroupSize), row, row);
            }

            for (int kvHead = 0; kvHead < scores.KvHeads; kvHead++)
            {
                Span<float> row = destination.Slice(kvHead * scores.Tokens + Sinks, scored);
                TensorPrimitives.Add(row, (float)Epsilon, row);
                TensorPrimitives.Multiply(row, scores.ValueNorms(layer, kvHead)[Sinks..], row);
            }
        }
        finally
        {
            ArrayPool<float>.Shared.Return(rented);
        }
    }

    private static float Exponent(ReadOnlySpan<float> key, ReadOnlySpan<float> mean, ReadOnlySpan<float> triangle)
    {
        float sum = TensorPrimitives.Dot(key, mean);
        for (int i = 0; i < key.Length; i++)
        {
            sum += key[i] * TensorPrimitives.Dot(triangle.Slice(i * key.Length, i + 1), key[..(i + 1)]);
        }

        return sum;
    }
}
