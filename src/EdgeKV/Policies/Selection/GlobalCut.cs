using System.Buffers;
using System.Numerics.Tensors;
using EdgeKV.Models;
using EdgeKV.Numerics;
using EdgeKV.Planning;

namespace EdgeKV.Policies.Selection;

/// <summary>The keys of one KV head's rows, by position; lists are numbered layer after layer.</summary>
internal delegate ReadOnlySpan<uint> KeyList(int list);

/// <summary>
/// Where a ranking of all lists together ends: every row before <see cref="End"/> is in, and of the rows equal to it each list's first
/// <see cref="Ties"/>. Equal rows go to the lower layer, then the lower KV head, then the earlier position.
/// Where rows of some layers take more of the budget than those of others, less than one row of it may be left over.
/// </summary>
internal sealed class GlobalCut
{
    private readonly HeadLayout _kvHeads;
    private readonly RowLimit _costs;
    private readonly KeyList _keys;
    private readonly Lock _merging = new();

    // What a row takes of the budget in some layer, each number once, and which of them a layer's rows take.
    private readonly long[] _perRow;
    private readonly int[] _perRowOf;

    private GlobalCut(HeadLayout kvHeads, RowLimit costs, KeyList keys)
    {
        _kvHeads = kvHeads;
        _costs = costs;
        _keys = keys;
        long[] perRow = [.. Enumerable.Range(0, kvHeads.Layers).Select(costs.PerRow)];
        _perRow = [.. perRow.Distinct()];
        _perRowOf = Array.ConvertAll(perRow, units => _perRow.IndexOf(units));
        Before = new int[kvHeads.Total];
        Ties = new int[Before.Length];
    }

    /// <summary>The key at which it ends.</summary>
    public uint End { get; private set; }

    /// <summary>Rows of every list before the key.</summary>
    public int[] Before { get; }

    /// <summary>Rows of every list that are equal to the key and in.</summary>
    public int[] Ties { get; }

    /// <summary>The cut after the best rows.</summary>
    /// <param name="kvHeads">KV heads of each layer.</param>
    /// <param name="keys">The lists' keys; asked from many threads.</param>
    /// <param name="limit">Rows with this key or a higher one stay out, however few the others are; null: the budget alone decides.</param>
    /// <param name="costs">What a row takes of the budget.</param>
    /// <param name="budget">Units of the budget for the rows that are in, 0 to what all there are take.</param>
    public static GlobalCut Find(HeadLayout kvHeads, KeyList keys, uint? limit, RowLimit costs, long budget)
    {
        GlobalCut cut = new(kvHeads, costs, keys);
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
        for (int layer = 0; layer < _kvHeads.Layers; layer++)
        {
            long perRow = _costs.PerRow(layer);
            for (int list = _kvHeads.First(layer); list < _kvHeads.First(layer + 1); list++)
            {
                Ties[list] = (int)Math.Min(left / perRow, Ties[list]);
                left -= Ties[list] * perRow;
            }
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
        int[] counters = new int[_perRow.Length * ScoreOrder.Digits];
        long[] units = new long[ScoreOrder.Digits];
        for (int shift = 2 * ScoreOrder.DigitBits; shift >= 0; shift -= ScoreOrder.DigitBits)
        {
            counters.AsSpan().Clear();
            CountDigits(mask, key, shift, counters);
            Weigh(counters, units);
            int digit = 0;
            while (units[digit] < budget)
            {
                budget -= units[digit++];
            }

            key |= (uint)digit << shift;
            mask = uint.MaxValue << shift;
        }

        return key;
    }

    // What the rows of every digit take of the budget.
    private void Weigh(ReadOnlySpan<int> counters, Span<long> units)
    {
        units.Clear();
        Span<long> rows = stackalloc long[ScoreOrder.Digits];
        for (int i = 0; i < _perRow.Length; i++)
        {
            TensorPrimitives.ConvertTruncating(counters.Slice(i * ScoreOrder.Digits, ScoreOrder.Digits), rows);
            TensorPrimitives.MultiplyAdd(rows, _perRow[i], units, units);
        }
    }

    // Rows by digit, counted apart for layers whose rows take different parts of the budget.
    private void CountDigits(uint mask, uint prefix, int shift, int[] counters) =>
        LayerLoop.ForEach(_kvHeads.Layers, static () => new Counters(), (layer, scratch) =>
        {
            Span<int> own = scratch.Span;
            own.Clear();
            for (int list = _kvHeads.First(layer); list < _kvHeads.First(layer + 1); list++)
            {
                ScoreOrder.CountDigits(_keys(list), mask, prefix, shift, own);
            }

            Span<int> all = counters.AsSpan(_perRowOf[layer] * ScoreOrder.Digits, ScoreOrder.Digits);
            lock (_merging)
            {
                TensorPrimitives.Add<int>(all, own, all);
            }
        });

    // Rows of every head before a key, and those equal to it; returns the units that the rows before it take over all heads.
    private long Count(uint key)
    {
        Parallel.For(0, _kvHeads.Layers, layer =>
        {
            for (int list = _kvHeads.First(layer); list < _kvHeads.First(layer + 1); list++)
            {
                (Before[list], Ties[list]) = ScoreOrder.Count(_keys(list), key);
            }
        });
        return _costs.Of(Before);
    }

    // One thread's counters of a digit.
    private sealed class Counters : IDisposable
    {
        private readonly int[] _counters = ArrayPool<int>.Shared.Rent(ScoreOrder.Digits);

        public Span<int> Span => _counters.AsSpan(0, ScoreOrder.Digits);

        public void Dispose() => ArrayPool<int>.Shared.Return(_counters);
    }
}
