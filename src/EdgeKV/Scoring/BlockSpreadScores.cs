using System.Buffers;
using System.Numerics.Tensors;

namespace EdgeKV.Scoring;

/// <summary>Works out <see cref="BlockSpread"/>. Memory: the rows of one layer in float32 per thread.</summary>
/// <param name="rows">The keys or values.</param>
/// <param name="statistic">What is wanted of them.</param>
internal sealed class BlockSpreadScores(ICacheRows rows, BlockSpread statistic) : ILayerStatistic
{
    private readonly int _blocks = Math.Max(0, rows.Tokens - statistic.First) / statistic.Block;

    /// <inheritdoc/>
    public void Write(int layer, Span<float> destination)
    {
        destination.Clear();
        if (_blocks < 2)
        {
            return;
        }

        using LayerRows read = new(rows, statistic.Kind, layer);
        int size = read.HeadSize;
        float[] rented = ArrayPool<float>.Shared.Rent(3 * size);
        Span<float> lowest = rented.AsSpan(0, size);
        Span<float> scale = rented.AsSpan(size, size);
        Span<float> x = rented.AsSpan(2 * size, size);
        for (int head = 0; head < rows.KvHeads; head++)
        {
            for (int block = 0; block < _blocks - 1; block++)
            {
                int start = statistic.First + block * statistic.Block;
                Range(read, head, start + statistic.Block, lowest, scale);
                Span<float> spread = destination.Slice(head * rows.Tokens + start, statistic.Block);
                for (int token = 0; token < spread.Length; token++)
                {
                    TensorPrimitives.Subtract(read.Row(head, start + token), lowest, x);
                    TensorPrimitives.Multiply(x, scale, x);
                    TensorPrimitives.Subtract(x, TensorPrimitives.Sum<float>(x) / size, x);
                    spread[token] = MathF.Sqrt(TensorPrimitives.SumOfSquares<float>(x) / (size - 1));
                }

                // Shares of their softmax.
                TensorPrimitives.Subtract(spread, TensorPrimitives.Max<float>(spread), spread);
                TensorPrimitives.Exp(spread, spread);
                TensorPrimitives.Divide(spread, TensorPrimitives.Sum<float>(spread), spread);
            }
        }

        ArrayPool<float>.Shared.Return(rented);
    }

    // The lowest value of each channel in a block, and one over the channel's range.
    private void Range(LayerRows read, int head, int start, Span<float> lowest, Span<float> scale)
    {
        read.Row(head, start).CopyTo(lowest);
        lowest.CopyTo(scale);
        for (int token = start + 1; token < start + statistic.Block; token++)
        {
            ReadOnlySpan<float> row = read.Row(head, token);
            TensorPrimitives.Min(lowest, row, lowest);
            TensorPrimitives.Max(scale, row, scale);
        }

        for (int channel = 0; channel < scale.Length; channel++)
        {
            float range = scale[channel] - lowest[channel];
            scale[channel] = range == 0 ? 0 : 1 / range;
        }
    }
}
