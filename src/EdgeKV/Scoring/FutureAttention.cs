using System.Buffers;
using System.Numerics.Tensors;

namespace EdgeKV.Scoring;

/// <summary>
/// The attention to be expected from queries after the context, [layers, heads, tokens], 0 to 1, the sum over the tokens from
/// <paramref name="First"/> on being 1 (expected attention, arXiv 2510.00636). Tokens before that have 0. Costs the pass of <see cref="QueryMoments"/>.
/// </summary>
/// <remarks>
/// u and C are mean and covariance of these tokens' queries before position encoding, Q is the mean rotation of the positions ahead, u' = Qu,
/// C' = QCQ^T; softmax over j of k[j] u' / sqrt(d) + k[j]^T C' k[j] / (2d), with k the cached keys and d the head size.
/// </remarks>
/// <param name="First">First positions that are left out, 0 and up.</param>
/// <param name="Ahead">Positions after the context at which queries are expected, 1 and up.</param>
/// <exception cref="ArgumentOutOfRangeException">A value is out of its range.</exception>
public sealed record FutureAttention(int First, int Ahead) : Statistic
{
    /// <summary>First positions that are left out.</summary>
    public int First { get; } = First >= 0
        ? First
        : throw new ArgumentOutOfRangeException(nameof(First), First, "First positions are 0 and up.");

    /// <summary>Positions after the context at which queries are expected.</summary>
    public int Ahead { get; } = Ahead >= 1
        ? Ahead
        : throw new ArgumentOutOfRangeException(nameof(Ahead), Ahead, "Positions ahead are 1 and up.");

    /// <inheritdoc/>
    public override string Name => "future attention";

    /// <inheritdoc/>
    public override bool IsPerAttentionHead => true;

    internal override bool IsMadeOfRows => true;

    internal override ILayerStatistic OfRows(ICacheRows rows, AttentionScores seen) => new FutureAttentionScores(rows, seen, this);

    internal override IReadOnlyList<Statistic> MadeOf => [new QueryMoments(QueryMoment.Mean, First), new QueryMoments(QueryMoment.Covariance, First)];
}

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
