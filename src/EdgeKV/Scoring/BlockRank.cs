using System.Buffers;
using System.Numerics.Tensors;
using EdgeKV.Numerics;

namespace EdgeKV.Scoring;

/// <summary>
/// Each token's rank in its block by how unevenly its key and value spread over their channels, 0 for the lowest, divided by the block's length,
/// [layers, kvHeads, tokens], 0 to below 1 (LagKV, arXiv 2504.04704). Of equal tokens the earlier one ranks higher. No pass.
/// </summary>
/// <remarks>
/// After the first positions the context is cut into whole blocks. Of a block, per channel, x = (k - min) / (max - min) with min and max over the next
/// block, 0 for a channel that does not vary there; the standard deviation of x over the channels (divided by channels - 1); softmax of that over the block's
/// tokens. The same for values; the mean of both is what ranks. Tokens of the last whole block, before the first and after the last have 0. Memory: the keys
/// or the values of one layer in float32 per thread.
/// </remarks>
public sealed record BlockRank : Statistic
{
    /// <summary>The rank in blocks of some length.</summary>
    /// <param name="first">First positions that belong to no block, 0 and up.</param>
    /// <param name="block">Tokens of a block, 1 and up.</param>
    /// <exception cref="ArgumentOutOfRangeException">A value is out of its range.</exception>
    public BlockRank(int first, int block)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfLessThan(block, 1);
        First = first;
        Block = block;
    }

    /// <summary>First positions that belong to no block.</summary>
    public int First { get; }

    /// <summary>Tokens of a block.</summary>
    public int Block { get; }

    /// <inheritdoc/>
    public override string Name => "block rank";

    internal override bool IsMadeOfRows => true;

    internal override ILayerStatistic OfRows(ICacheRows rows, AttentionScores seen) => new BlockRankScores(rows, this);

    private protected override string Describe() => $"block rank({Block})";
}

/// <summary>Works out <see cref="BlockRank"/>.</summary>
/// <param name="rows">The keys and values.</param>
/// <param name="statistic">What is wanted of them.</param>
internal sealed class BlockRankScores(ICacheRows rows, BlockRank statistic) : ILayerStatistic
{
    // Whole blocks that have another after them.
    private readonly int _blocks = Math.Max(0, (rows.Tokens - statistic.First) / statistic.Block - 1);

    /// <inheritdoc/>
    public void Write(int layer, Span<float> destination)
    {
        destination.Clear();
        if (_blocks == 0)
        {
            return;
        }

        // One kind after the other: both at a time would be twice the memory.
        foreach (RowKind kind in (ReadOnlySpan<RowKind>)[RowKind.Keys, RowKind.Values])
        {
            using LayerRows read = new(rows, kind, layer);
            AddShares(read, rows.KvHeads(layer), destination);
        }

        ulong[] order = ArrayPool<ulong>.Shared.Rent(statistic.Block);
        for (int head = 0; head < rows.KvHeads(layer); head++)
        {
            for (int block = 0; block < _blocks; block++)
            {
                Rank(Block(destination, head, block), order.AsSpan(0, statistic.Block));
            }
        }

        ArrayPool<ulong>.Shared.Return(order);
    }

    private Span<float> Block(Span<float> layer, int head, int block) =>
        layer.Slice(head * rows.Tokens + statistic.First + block * statistic.Block, statistic.Block);

    // Adds half of each row's share of its block's softmax.
    private void AddShares(LayerRows read, int heads, Span<float> destination)
    {
        int size = read.HeadSize;
        float[] rented = ArrayPool<float>.Shared.Rent(3 * size + statistic.Block);
        Span<float> lowest = rented.AsSpan(0, size);
        Span<float> scale = rented.AsSpan(size, size);
        Span<float> x = rented.AsSpan(2 * size, size);
        Span<float> spread = rented.AsSpan(3 * size, statistic.Block);
        for (int head = 0; head < heads; head++)
        {
            for (int block = 0; block < _blocks; block++)
            {
                int start = statistic.First + block * statistic.Block;
                Range(read, head, start + statistic.Block, lowest, scale);
                for (int token = 0; token < spread.Length; token++)
                {
                    TensorPrimitives.Subtract(read.Row(head, start + token), lowest, x);
                    TensorPrimitives.Multiply(x, scale, x);
                    TensorPrimitives.Subtract(x, TensorPrimitives.Sum<float>(x) / size, x);
                    spread[token] = MathF.Sqrt(TensorPrimitives.SumOfSquares<float>(x) / (size - 1));
                }

                TensorPrimitives.Subtract(spread, TensorPrimitives.Max<float>(spread), spread);
                TensorPrimitives.Exp(spread, spread);
                Span<float> shares = Block(destination, head, block);
                TensorPrimitives.MultiplyAdd(spread, 0.5f / TensorPrimitives.Sum<float>(spread), shares, shares);
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

    // What is no number stays, to be found.
    private static void Rank(Span<float> shares, Span<ulong> order)
    {
        if (!TensorPrimitives.IsFiniteAll<float>(shares))
        {
            return;
        }

        for (int i = 0; i < shares.Length; i++)
        {
            order[i] = ((ulong)ScoreOrder.Key(shares[i]) << 32) | (uint)i;
        }

        order.Sort();
        for (int place = 0; place < order.Length; place++)
        {
            shares[(int)(uint)order[place]] = (float)(shares.Length - 1 - place) / shares.Length;
        }
    }
}
