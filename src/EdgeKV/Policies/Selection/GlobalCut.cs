using System.Buffers;
using System.Numerics.Tensors;
using EdgeKV.Numerics;

namespace EdgeKV.Policies.Selection;

/// <summary>The keys of one KV head's rows, by position; lists are numbered layer * kvHeads + kvHead.</summary>
internal delegate ReadOnlySpan<uint> KeyList(int list);

/// <summary>
/// Where a ranking of all lists together ends: every row before <see cref="End"/> is in, and of the rows equal to it each list's first
/// <see cref="Ties"/>. Equal rows go to the lower layer, then the lower KV head, then the earlier position.
/// </summary>
internal sealed class GlobalCut
{
    private readonly int _layers;
    private readonly int _heads;
    private readonly KeyList _keys;
    private readonly Lock _merging = new();

    private GlobalCut(int layers, int heads, KeyList keys)
    {
        _layers = layers;
        _heads = heads;
        _keys = keys;
        Before = new int[layers * heads];
        Ties = new int[Before.Length];
    }

    /// <summary>The key at which it ends.</summary>
    public uint End { get; private set; }

    /// <summary>Rows of every list before the key, [layers, kvHeads].</summary>
    public int[] Before { get; }

    /// <summary>Rows of every list that are equal to the key and in, [layers, kvHeads].</summary>
    public int[] Ties { get; }

    /// <summary>The cut after the best rows.</summary>
    /// <param name="layers">Layers.</param>
    /// <param name="heads">KV heads of a layer.</param>
    /// <param name="keys">The lists' keys; asked from many threads.</param>
    /// <param name="limit">Rows with this key or a higher one stay out, however few the others are; null: the budget alone decides.</param>
    /// <param name="budget">The most rows that are in, 0 to all there are.</param>
    public static GlobalCut Find(int layers, int heads, KeyList keys, uint? limit, long budget)
    {
        GlobalCut cut = new(layers, heads, keys);
        if (limit is { } end && cut.Count(end) <= budget)
        {
            cut.End = end;
            cut.Ties.AsSpan().Clear();
            return cut;
        }

        cut.End = cut.KeyAt(budget);
        cut.ShareTies(budget - cut.Count(cut.End));
        return cut;
    }

    // What is left of the budget goes to equal rows, lower layers and KV heads first.
    private void ShareTies(long left)
    {
        for (int i = 0; i < Ties.Length; i++)
        {
            Ties[i] = (int)Math.Min(left, Ties[i]);
            left -= Ties[i];
        }
    }

    // The key at which the budget ends, digit by digit: all rows before it fit, all rows up to it are as many as the budget or more.
    private uint KeyAt(long budget)
    {
        if (budget == 0)
        {
            return 0;
        }

        uint mask = 0;
        uint key = 0;
        int[] counters = new int[ScoreOrder.Digits];
        for (int shift = 2 * ScoreOrder.DigitBits; shift >= 0; shift -= ScoreOrder.DigitBits)
        {
            counters.AsSpan().Clear();
            CountDigits(mask, key, shift, counters);
            int digit = 0;
            while (counters[digit] < budget)
            {
                budget -= counters[digit++];
            }

            key |= (uint)digit << shift;
            mask = uint.MaxValue << shift;
        }

        return key;
    }

    private void CountDigits(uint mask, uint prefix, int shift, int[] counters) =>
        LayerLoop.ForEach(_layers, static () => new Counters(), (layer, scratch) =>
        {
            Span<int> own = scratch.Span;
            own.Clear();
            for (int head = 0; head < _heads; head++)
            {
                ScoreOrder.CountDigits(_keys(layer * _heads + head), mask, prefix, shift, own);
            }

            lock (_merging)
            {
                TensorPrimitives.Add<int>(counters, own, counters);
            }
        });

    // Rows of every head before a key, and those equal to it; returns the rows before it over all heads.
    private long Count(uint key)
    {
        Parallel.For(0, _layers, layer =>
        {
            for (int head = 0; head < _heads; head++)
            {
                int list = layer * _heads + head;
                (Before[list], Ties[list]) = ScoreOrder.Count(_keys(list), key);
            }
        });
        long total = 0;
        foreach (int rows in Before)
        {
            total += rows;
        }

        return total;
    }

    // One thread's counters of a digit.
    private sealed class Counters : IDisposable
    {
        private readonly int[] _counters = ArrayPool<int>.Shared.Rent(ScoreOrder.Digits);

        public Span<int> Span => _counters.AsSpan(0, ScoreOrder.Digits);

        public void Dispose() => ArrayPool<int>.Shared.Return(_counters);
    }
}
