using System.Buffers;
using System.Numerics.Tensors;

namespace EdgeKV.Scoring;

/// <summary>Works out <see cref="FutureAttention"/>.</summary>
/// <param name="rows">The keys.</param>
/// <param name="seen">Has mean and covariance of the queries.</param>
/// <param name="statistic">What is wanted of them.</param>
internal sealed class FutureAttentionScores(ICacheRows rows, AttentionScores seen, FutureAttention statistic) : ILayerStatistic
{
    private readonly FutureQueries _queries = new(seen, rows.Rotary, statistic.First, statistic.Ahead);

    /// <inheritdoc/>
    public void Write(int layer, Span<float> destination)
    {
        int size = rows.HeadSize(RowKind.Keys, layer);
        int heads = seen.Heads[layer];
        float[] rentedFactors = ArrayPool<float>.Shared.Rent(heads * size * size);
        float[] rented = ArrayPool<float>.Shared.Rent(destination.Length);
        Span<float> means = rentedFactors.AsSpan(0, heads * size);
        _queries.CopyMeans(layer, means);
        TensorPrimitives.Divide(means, MathF.Sqrt(size), means);
        rows.Apply(RowForm.Linear, RowKind.Keys, layer, means, destination);

        Span<float> covariances = rentedFactors.AsSpan(0, heads * size * size);
        Span<float> quadratic = rented.AsSpan(0, destination.Length);
        _queries.CopyCovariances(layer, size, covariances);
        TensorPrimitives.Divide(covariances, 2 * size, covariances);
        rows.Apply(RowForm.Quadratic, RowKind.Keys, layer, covariances, quadratic);
        TensorPrimitives.Add(destination, quadratic, destination);

        for (int head = 0; head < heads; head++)
        {
            Span<float> row = destination.Slice(head * rows.Tokens, rows.Tokens);
            row[..statistic.First].Clear();
            row = row[statistic.First..];
            TensorPrimitives.Subtract(row, TensorPrimitives.Max<float>(row), row);
            TensorPrimitives.Exp(row, row);
            TensorPrimitives.Divide(row, TensorPrimitives.Sum<float>(row), row);
        }

        ArrayPool<float>.Shared.Return(rented);
        ArrayPool<float>.Shared.Return(rentedFactors);
    }
}
