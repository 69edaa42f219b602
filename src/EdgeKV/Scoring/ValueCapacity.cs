using System.Buffers;
using System.Numerics.Tensors;
using MathNet.Numerics.LinearAlgebra;
using MathNet.Numerics.LinearAlgebra.Double;

namespace EdgeKV.Scoring;

/// <summary>
/// What each value adds to what its head can give out, [layers, kvHeads, tokens], 0 and up (CapKV, arXiv 2604.25975). Tokens that are left out have 0.
/// Costs the pass of <see cref="QueryMoments"/>.
/// </summary>
/// <remarks>
/// Per attention head, over the tokens from <paramref name="First"/> on: w[j] = exp(<paramref name="Sharpness"/> (cos(k[j], u') - the largest of them)) with
/// u' as in <see cref="FutureAttention"/>; w[j] v[j]^T (I + sum over i of w[i] v[i] v[i]^T)^-1 v[j]; mean over the attention heads of the KV head. A key or
/// a mean query of length 0 has a cosine of 0.
/// </remarks>
/// <param name="First">First positions that are left out, 0 and up.</param>
/// <param name="Ahead">Positions after the context at which queries are expected, 1 and up.</param>
/// <param name="Sharpness">How sharply keys are told apart by their cosine, 0 (not at all) to 1000.</param>
/// <exception cref="ArgumentOutOfRangeException">A value is out of its range.</exception>
public sealed record ValueCapacity(int First, int Ahead, double Sharpness) : Statistic
{
    /// <summary>First positions that are left out.</summary>
    public int First { get; } = First >= 0
        ? First
        : throw new ArgumentOutOfRangeException(nameof(First), First, "First positions are 0 and up.");

    /// <summary>Positions after the context at which queries are expected.</summary>
    public int Ahead { get; } = Ahead >= 1
        ? Ahead
        : throw new ArgumentOutOfRangeException(nameof(Ahead), Ahead, "Positions ahead are 1 and up.");

    /// <summary>How sharply keys are told apart by their cosine.</summary>
    public double Sharpness { get; } = Sharpness is >= 0 and <= 1000
        ? Sharpness
        : throw new ArgumentOutOfRangeException(nameof(Sharpness), Sharpness, "A sharpness is 0 to 1000.");

    /// <inheritdoc/>
    public override string Name => "value capacity";

    internal override bool IsMadeOfRows => true;

    internal override ILayerStatistic OfRows(ICacheRows rows, AttentionScores seen) => new ValueCapacityScores(rows, seen, this);

    internal override IReadOnlyList<Statistic> MadeOf => [new KeyNorms(), new QueryMoments(QueryMoment.Mean, First)];
}

/// <summary>Works out <see cref="ValueCapacity"/>.</summary>
/// <param name="rows">The keys and values.</param>
/// <param name="seen">Has <see cref="KeyNorms"/> and the mean of the queries.</param>
/// <param name="statistic">What is wanted of them.</param>
internal sealed class ValueCapacityScores(ICacheRows rows, AttentionScores seen, ValueCapacity statistic) : ILayerStatistic
{
    private readonly FutureQueries _queries = new(seen, rows.Rotary, statistic.First, statistic.Ahead);

    /// <inheritdoc/>
    public void Write(int layer, Span<float> destination)
    {
        int size = rows.HeadSize(RowKind.Values, layer);
        int heads = seen.Heads[layer];
        int group = seen.GroupSize(layer);
        int weighed = heads * rows.Tokens;
        float[] rentedWeights = ArrayPool<float>.Shared.Rent(2 * weighed);
        float[] rentedFactors = ArrayPool<float>.Shared.Rent(heads * size * size);
        double[] rentedMatrices = ArrayPool<double>.Shared.Rent(heads * size * size);
        Span<float> weights = rentedWeights.AsSpan(0, weighed);
        Span<float> capacities = rentedWeights.AsSpan(weighed, weighed);
        Span<float> factors = rentedFactors.AsSpan(0, heads * size * size);
        Span<double> matrices = rentedMatrices.AsSpan(0, factors.Length);

        Weigh(layer, weights);
        rows.Sum(RowMoment.Second, RowKind.Values, layer, weights, matrices);
        for (int head = 0; head < heads; head++)
        {
            InvertFactor(matrices.Slice(head * size * size, size * size), size, factors.Slice(head * size * size, size * size));
        }

        // v^T M^-1 v is ||L^-1 v||^2 with LL^T = M: sums of squares, no difference of large numbers.
        rows.Apply(RowForm.Squares, RowKind.Values, layer, factors, capacities);
        TensorPrimitives.Multiply(weights, capacities, capacities);
        for (int kvHead = 0; kvHead < rows.KvHeads(layer); kvHead++)
        {
            Span<float> row = destination.Slice(kvHead * rows.Tokens, rows.Tokens);
            row.Clear();
            for (int head = kvHead * group; head < (kvHead + 1) * group; head++)
            {
                TensorPrimitives.Add(row, capacities.Slice(head * rows.Tokens, rows.Tokens), row);
            }

            TensorPrimitives.Divide(row, group, row);
        }

        ArrayPool<double>.Shared.Return(rentedMatrices);
        ArrayPool<float>.Shared.Return(rentedFactors);
        ArrayPool<float>.Shared.Return(rentedWeights);
    }

    // w of every attention head, [heads, tokens]; 0 for tokens that are left out.
    private void Weigh(int layer, Span<float> weights)
    {
        int size = rows.HeadSize(RowKind.Keys, layer);
        int heads = seen.Heads[layer];
        float[] rented = ArrayPool<float>.Shared.Rent(heads * size);
        Span<float> directions = rented.AsSpan(0, heads * size);
        _queries.CopyMeans(layer, directions);
        for (int head = 0; head < heads; head++)
        {
            Span<float> direction = directions.Slice(head * size, size);
            float length = TensorPrimitives.Norm<float>(direction);
            TensorPrimitives.Divide(direction, length == 0 ? 1 : length, direction);
        }

        rows.Apply(RowForm.Linear, RowKind.Keys, layer, directions, weights);
        for (int head = 0; head < heads; head++)
        {
            Span<float> row = weights.Slice(head * rows.Tokens, rows.Tokens);
            ReadOnlySpan<float> norms = seen.KeyNorms(layer, head / seen.GroupSize(layer));
            for (int token = 0; token < row.Length; token++)
            {
                row[token] = norms[token] == 0 ? 0 : row[token] / norms[token];
            }

            row[..statistic.First].Clear();
            row = row[statistic.First..];
            TensorPrimitives.Subtract(row, TensorPrimitives.Max<float>(row), row);
            TensorPrimitives.Multiply(row, (float)statistic.Sharpness, row);
            TensorPrimitives.Exp(row, row);
        }

        ArrayPool<float>.Shared.Return(rented);
    }

    // L^-1 with LL^T = I + A; numbers that are none where A has such.
    private static void InvertFactor(ReadOnlySpan<double> a, int size, Span<float> factor)
    {
        if (!TensorPrimitives.IsFiniteAll(a))
        {
            factor.Fill(float.NaN);
            return;
        }

        Matrix<double> matrix = DenseMatrix.CreateIdentity(size);
        for (int i = 0; i < size; i++)
        {
            for (int j = 0; j <= i; j++)
            {
                // Rounding may leave the two triangles apart.
                matrix[i, j] += a[i * size + j];
                matrix[j, i] = matrix[i, j];
            }
        }

        Matrix<double> inverse = matrix.Cholesky().Factor.Inverse();
        for (int i = 0; i < size; i++)
        {
            for (int j = 0; j < size; j++)
            {
                factor[i * size + j] = j <= i ? (float)inverse[i, j] : 0;
            }
        }
    }
}
