using System.Buffers;
using System.Numerics.Tensors;

namespace EdgeKV.Scoring;

/// <summary>
/// How much each key lies along its head's others, [layers, kvHeads, tokens], -1 to 1: its cosine to the mean of k / ||k|| over the context, k
/// the cached key, position encoding applied (KeyDiff, arXiv 2504.15364). A key of length 0 is like nothing: 0. No pass.
/// </summary>
public sealed record KeyLikeness : Statistic
{
    /// <inheritdoc/>
    public override string Name => "key likeness";

    internal override bool IsMadeOfRows => true;

    internal override ILayerStatistic OfRows(ICacheRows rows, AttentionScores seen) => new KeyLikenessScores(rows, seen);

    internal override IReadOnlyList<Statistic> MadeOf => [new KeyNorms()];
}

/// <summary>Works out <see cref="KeyLikeness"/>.</summary>
/// <param name="rows">The keys.</param>
/// <param name="seen">Has <see cref="KeyNorms"/>.</param>
internal sealed class KeyLikenessScores(ICacheRows rows, AttentionScores seen) : ILayerStatistic
{
    /// <inheritdoc/>
    public void Write(int layer, Span<float> destination)
    {
        int size = rows.HeadSize(RowKind.Keys, layer);
        int heads = rows.KvHeads(layer);
        int directions = heads * size;
        float[] rented = ArrayPool<float>.Shared.Rent(directions + destination.Length);
        double[] rentedSums = ArrayPool<double>.Shared.Rent(directions);
        Span<float> mean = rented.AsSpan(0, directions);
        Span<float> products = rented.AsSpan(directions, destination.Length);
        Span<double> sums = rentedSums.AsSpan(0, directions);
        for (int head = 0; head < heads; head++)
        {
            ReadOnlySpan<float> norms = seen.KeyNorms(layer, head);
            Span<float> inverse = destination.Slice(head * rows.Tokens, rows.Tokens);
            for (int token = 0; token < norms.Length; token++)
            {
                inverse[token] = norms[token] == 0 ? 0 : 1 / norms[token];
            }
        }

        rows.Sum(RowMoment.First, RowKind.Keys, layer, destination, sums);
        for (int head = 0; head < heads; head++)
        {
            // The mean has the direction of the sum.
            Span<double> sum = sums.Slice(head * size, size);
            double norm = TensorPrimitives.Norm<double>(sum);
            TensorPrimitives.Divide(sum, norm == 0 ? 1 : norm, sum);
        }

        TensorPrimitives.ConvertTruncating<double, float>(sums, mean);
        rows.Apply(RowForm.Linear, RowKind.Keys, layer, mean, products);
        TensorPrimitives.Multiply(destination, products, destination);
        ArrayPool<double>.Shared.Return(rentedSums);
        ArrayPool<float>.Shared.Return(rented);
    }
}
