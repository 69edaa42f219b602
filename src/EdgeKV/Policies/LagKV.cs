using System.Buffers;
using System.Numerics.Tensors;
using EdgeKV.Policies.Selection;
using EdgeKV.Scoring;

namespace EdgeKV.Policies;

/// <summary>
/// LagKV, arXiv 2504.04704: the rows whose keys and values spread most unevenly over their channels, measured by the range that each channel has in
/// the block of tokens after theirs. Looks at no attention.
/// </summary>
/// <remarks>
/// <para>
/// After the sinks the context is cut into whole blocks. Of a block, per channel, x = (v - min) / (max - min) with min and max over the next
/// block; the standard deviation of x over the channels (divided by channels - 1); softmax of that over the block's tokens. The same for keys,
/// and the mean of both; s is the row's rank by it within its block, 0 for the lowest, divided by the block's length. So ties between blocks are
/// the rule: they go to the earlier one. A channel that does not vary in the next block is 0.
/// </para>
/// <para>
/// Sinks, the last whole block and what is left after it are protected; of a context too short for two blocks, the sinks and then the most
/// recent rows stay. Memory: the keys or the values of one layer in float32 per thread.
/// </para>
/// </remarks>
public sealed record LagKV : ScoredPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "lagkv";

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

    /// <summary>Tokens of a block, 1 and up. Default: 128.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1.</exception>
    public int Lag
    {
        get;
        init => field = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A block has 1 token and up.");
    }

    = 128;

    /// <inheritdoc/>
    public override ScoreRequest Request => new(new CacheRows(RowKind.Keys), new CacheRows(RowKind.Values));

    /// <inheritdoc/>
    public override ProtectedRows Protect(int tokens, int rows) =>
        new(Sinks, Blocks(tokens) < 2 ? tokens : Lag + (tokens - Sinks) % Lag);

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        destination.Clear();
        int blocks = Blocks(scores.Tokens);
        if (blocks < 2)
        {
            return;
        }

        // One kind after the other: both at a time would be twice the memory.
        foreach (RowKind kind in (ReadOnlySpan<RowKind>)[RowKind.Keys, RowKind.Values])
        {
            using var rows = new LayerRows(scores, kind, layer);
            AddSpread(rows, scores, blocks, destination);
        }

        ulong[] order = ArrayPool<ulong>.Shared.Rent(Lag);
        for (int head = 0; head < scores.KvHeads; head++)
        {
            for (int block = 0; block < blocks - 1; block++)
            {
                Rank(destination.Slice(head * scores.Tokens + Sinks + block * Lag, Lag), order.AsSpan(0, Lag));
            }
        }

        ArrayPool<ulong>.Shared.Return(order);
    }

    private int Blocks(int tokens) => Math.Max(0, tokens - Sinks) / Lag;

    // Adds half of each row's share of its block's softmax.
    private void AddSpread(LayerRows rows, AttentionScores scores, int blocks, Span<float> destination)
    {
        int size = rows.HeadSize;
        float[] rented = ArrayPool<float>.Shared.Rent(3 * size + Lag);
        Span<float> lowest = rented.AsSpan(0, size);
        Span<float> scale = rented.AsSpan(size, size);
        Span<float> x = rented.AsSpan(2 * size, size);
        Span<float> spread = rented.AsSpan(3 * size, Lag);
        for (int head = 0; head < scores.KvHeads; head++)
        {
            for (int block = 0; block < blocks - 1; block++)
            {
                int start = Sinks + block * Lag;
                Range(rows, head, start + Lag, lowest, scale);
                for (int token = 0; token < Lag; token++)
                {
                    TensorPrimitives.Subtract(rows.Row(head, start + token), lowest, x);
                    TensorPrimitives.Multiply(x, scale, x);
                    TensorPrimitives.Subtract(x, TensorPrimitives.Sum<float>(x) / size, x);
                    spread[token] = MathF.Sqrt(TensorPrimitives.SumOfSquares<float>(x) / (size - 1));
                }

                TensorPrimitives.Subtract(spread, TensorPrimitives.Max<float>(spread), spread);
                TensorPrimitives.Exp(spread, spread);
                Span<float> shares = destination.Slice(head * scores.Tokens + start, Lag);
                TensorPrimitives.MultiplyAdd(spread, 0.5f / TensorPrimitives.Sum<float>(spread), shares, shares);
            }
        }

        ArrayPool<float>.Shared.Return(rented);
    }

    // The lowest value of each channel in a block, and one over the channel's range.
    private void Range(LayerRows rows, int head, int start, Span<float> lowest, Span<float> scale)
    {
        rows.Row(head, start).CopyTo(lowest);
        lowest.CopyTo(scale);
        for (int token = start + 1; token < start + Lag; token++)
        {
            ReadOnlySpan<float> row = rows.Row(head, token);
            TensorPrimitives.Min(lowest, row, lowest);
            TensorPrimitives.Max(scale, row, scale);
        }

        for (int channel = 0; channel < scale.Length; channel++)
        {
            float range = scale[channel] - lowest[channel];
            scale[channel] = range == 0 ? 0 : 1 / range;
        }
    }

    // Of equal scores the earlier position gets the higher rank. What is no number stays, to be found.
    private static void Rank(Span<float> scores, Span<ulong> order)
    {
        if (!TensorPrimitives.IsFiniteAll<float>(scores))
        {
            return;
        }

        for (int i = 0; i < scores.Length; i++)
        {
            order[i] = ((ulong)ScoreOrder.Key(scores[i]) << 32) | (uint)i;
        }

        order.Sort();
        for (int place = 0; place < order.Length; place++)
        {
            scores[(int)(uint)order[place]] = (float)(scores.Length - 1 - place) / scores.Length;
        }
    }
}
