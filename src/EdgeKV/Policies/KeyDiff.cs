using System.Buffers;
using System.Numerics.Tensors;
using EdgeKV.Scoring;

namespace EdgeKV.Policies;

/// <summary>
/// KeyDiff, arXiv 2504.15364: the rows whose keys are least like the others, s[h, j] = -cos(k[h, j], c[h]) with c[h] the mean of k[h, j] / ||k[h, j]||
/// over the context. Over the whole context at once, as in the reference (NVIDIA/kvpress, keydiff_press); the paper lets blocks compete one
/// after another. Looks at no attention.
/// </summary>
/// <remarks>A key of length 0 is like nothing: 0. Memory: the keys of one layer in float32 per thread.</remarks>
public sealed record KeyDiff : ScoredPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "keydiff";

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <inheritdoc/>
    public override ScoreRequest Request => new(new CacheRows(RowKind.Keys));

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        using var keys = new LayerRows(scores, RowKind.Keys, layer);
        float[] rented = ArrayPool<float>.Shared.Rent(keys.HeadSize);
        Span<float> sum = rented.AsSpan(0, keys.HeadSize);
        for (int head = 0; head < scores.KvHeads; head++)
        {
            Span<float> row = destination.Slice(head * scores.Tokens, scores.Tokens);
            sum.Clear();
            for (int token = 0; token < row.Length; token++)
            {
                ReadOnlySpan<float> key = keys.Row(head, token);
                row[token] = Inverse(TensorPrimitives.Norm(key));
                TensorPrimitives.MultiplyAdd(key, row[token], sum, sum);
            }

            // The mean has the direction of the sum.
            float inverse = Inverse(TensorPrimitives.Norm<float>(sum));
            for (int token = 0; token < row.Length; token++)
            {
                row[token] *= -TensorPrimitives.Dot(keys.Row(head, token), sum) * inverse;
            }
        }

        ArrayPool<float>.Shared.Return(rented);
    }

    private static float Inverse(float norm) => norm == 0 ? 0 : 1 / norm;
}
