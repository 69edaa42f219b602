using System.Buffers;
using System.Numerics.Tensors;
using EdgeKV.Scoring;
using MathNet.Numerics.LinearAlgebra;
using MathNet.Numerics.LinearAlgebra.Double;

namespace EdgeKV.Policies;

/// <summary>
/// CapKV, arXiv 2604.25975: the rows whose values add most to what a head can give out, weighed by how well their keys fit the queries to be
/// expected. The first positions stay. Looks at no attention.
/// </summary>
/// <remarks>
/// <para>
/// Per attention head, over the tokens after the sinks: w[j] = exp(5 (cos(k[j], u') - the largest of them)) with u' the mean query of these tokens
/// before position encoding, turned by the mean rotation of the next 512 positions;
/// s[j] = w[j] v[j]^T (I + sum over i of w[i] v[i] v[i]^T)^-1 v[j]; mean over the attention heads of the KV head. Lengths of keys and queries do
/// not count, as in the reference (NVIDIA/kvpress, cap_press); the paper takes plain products.
/// </para>
/// <para>
/// Cost: heads * tokens * headSize^2 multiplications a layer. Memory: the keys or the values of one layer in float32 and a weight for each of
/// its [heads, tokens] per thread.
/// </para>
/// </remarks>
public sealed record CapKV : ScoredPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "capkv";

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

    /// <summary>How sharply keys are told apart by their cosine, 0 (not at all) and up. Default: 5.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0 or not finite.</exception>
    public double Sharpness
    {
        get;
        init => field = value >= 0 && double.IsFinite(value)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A sharpness is a finite number of 0 and up.");
    }

    = 5;

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

    /// <inheritdoc/>
    public override ScoreRequest Request =>
        new(new CacheRows(RowKind.Keys), new CacheRows(RowKind.Values), new QueryMoments(QueryMoment.Mean, Sinks));

    /// <inheritdoc/>
    public override ProtectedRows Protect(int tokens, int rows) => new(Sinks, 0);

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        var queries = new FutureQueries(scores, Name, Sinks, Ahead);
        int scored = scores.Tokens - Sinks;
        float[] rented = ArrayPool<float>.Shared.Rent(checked(scores.Heads * scored));
        try
        {
            Span<float> weights = rented.AsSpan(0, scores.Heads * scored);
            Weigh(scores, queries, layer, weights);
            using var values = new LayerRows(scores, RowKind.Values, layer);
            float[] terms = ArrayPool<float>.Shared.Rent(values.HeadSize * values.HeadSize);
            destination.Clear();
            for (int head = 0; head < scores.Heads; head++)
            {
                int kvHead = head / scores.GroupSize;
                AddCapacity(
                    values,
                    kvHead,
                    weights.Slice(head * scored, scored),
                    terms.AsSpan(0, values.HeadSize * values.HeadSize),
                    destination.Slice(kvHead * scores.Tokens + Sinks, scored));
            }

            TensorPrimitives.Divide(destination, scores.GroupSize, destination);
            ArrayPool<float>.Shared.Return(terms);
        }
        finally
        {
            ArrayPool<float>.Shared.Return(rented);
        }
    }

    // w of every attention head, [heads, tokens - sinks].
    private void Weigh(AttentionScores scores, FutureQueries queries, int layer, Span<float> weights)
    {
        using var keys = new LayerRows(scores, RowKind.Keys, layer);
        int scored = scores.Tokens - Sinks;
        float[] rented = ArrayPool<float>.Shared.Rent(keys.HeadSize);
        Span<float> query = rented.AsSpan(0, keys.HeadSize);
        for (int head = 0; head < scores.Heads; head++)
        {
            queries.CopyMean(layer, head, query);
            Span<float> row = weights.Slice(head * scored, scored);
            float length = TensorPrimitives.Norm<float>(query);
            for (int token = 0; token < scored; token++)
            {
                ReadOnlySpan<float> key = keys.Row(head / scores.GroupSize, Sinks + token);
                float lengths = TensorPrimitives.Norm(key) * length;
                row[token] = lengths == 0 ? 0 : TensorPrimitives.Dot(key, query) / lengths;
            }

            TensorPrimitives.Subtract(row, TensorPrimitives.Max<float>(row), row);
            TensorPrimitives.Multiply(row, (float)Sharpness, row);
            TensorPrimitives.Exp(row, row);
        }

        ArrayPool<float>.Shared.Return(rented);
    }

    // v^T M^-1 v is ||L^-1 v||^2 with LL^T = M: sums of squares, no difference of large numbers.
    private void AddCapacity(LayerRows values, int kvHead, ReadOnlySpan<float> weights, Span<float> terms, Span<float> destination)
    {
        int size = values.HeadSize;
        terms.Clear();
        for (int token = 0; token < weights.Length; token++)
        {
            ReadOnlySpan<float> value = values.Row(kvHead, Sinks + token);
            for (int i = 0; i < size; i++)
            {
                Span<float> row = terms.Slice(i * size, i + 1);
                TensorPrimitives.MultiplyAdd(value[..(i + 1)], weights[token] * value[i], row, row);
            }
        }

        if (!TensorPrimitives.IsFiniteAll<float>(terms))
        {
            destination.Fill(float.NaN);
            return;
        }

        InvertFactor(terms, size);
        for (int token = 0; token < weights.Length; token++)
        {
            ReadOnlySpan<float> value = values.Row(kvHead, Sinks + token);
            float sum = 0;
            for (int i = 0; i < size; i++)
            {
                float x = TensorPrimitives.Dot<float>(terms.Slice(i * size, i + 1), value[..(i + 1)]);
                sum += x * x;
            }

            destination[token] += weights[token] * sum;
        }
    }

    // The lower triangle of A becomes that of L^-1 with LL^T = I + A.
    private static void InvertFactor(Span<float> triangle, int size)
    {
        Matrix<double> matrix = DenseMatrix.CreateIdentity(size);
        for (int i = 0; i < size; i++)
        {
            for (int j = 0; j <= i; j++)
            {
                matrix[i, j] += triangle[i * size + j];
                matrix[j, i] = matrix[i, j];
            }
        }

        Matrix<double> inverse = matrix.Cholesky().Factor.Inverse();
        for (int i = 0; i < size; i++)
        {
            for (int j = 0; j <= i; j++)
            {
                triangle[i * size + j] = (float)inverse[i, j];
            }
        }
    }
}
