using System.Buffers;
using System.Numerics.Tensors;
using EdgeKV.Policies.Selection;
using EdgeKV.Scoring;

namespace EdgeKV.Policies;

/// <summary>One run of <see cref="GlobalTopK"/>: its buffers are rented and go back when it is disposed.</summary>
internal sealed class GlobalTopKWork(GlobalTopK policy, AttentionScores scores) : IDisposable
{
    // Keeps the logarithm of a weight that float32 rounded to zero finite.
    private const float Epsilon = 1e-7f;

    private readonly int _tokens = scores.Tokens;
    private readonly int _heads = scores.KvHeads;
    private readonly Lock _merging = new();
    private uint[]? _keys;

    /// <summary>Works out the key of every row: the lower, the better.</summary>
    /// <exception cref="PlanException">A score is not finite, or the context is too large for one plan.</exception>
    public void Rank()
    {
        long rows = (long)scores.Layers * _heads * _tokens;
        if (rows > Array.MaxLength)
        {
            throw new PlanException($"A context of {_tokens} tokens is too long to be planned at once.");
        }

        _keys = ArrayPool<uint>.Shared.Rent((int)rows);
        int broken = int.MaxValue;
        ForEachLayer((layer, scratch) =>
        {
            for (int head = 0; head < _heads; head++)
            {
                ReadOnlySpan<float> row = Score(layer, head, scratch.Row);
                if (!TensorPrimitives.IsFiniteAll(row))
                {
                    LayerLoop.Lower(ref broken, layer);
                    return;
                }

                Span<uint> keys = Keys(layer, head);
                ScoreOrder.Keys(row, keys);
                Protect(keys);
            }
        });
        if (broken < int.MaxValue)
        {
            throw NotFinite(broken);
        }
    }

    /// <summary>The positions of all heads one after another: the best rows of all, after <see cref="Rank"/>.</summary>
    /// <param name="budget">Rows that may stay, at most all.</param>
    /// <param name="counts">Takes the rows of every KV head, [layers, kvHeads].</param>
    public int[] Select(long budget, int[] counts)
    {
        int[] ties = new int[counts.Length];
        uint end = 0;
        bool found = false;
        if (policy.Threshold is { } threshold)
        {
            end = ScoreOrder.KeyAfter(policy.Source == RowScore.Repeat ? Math.Exp(threshold) - Epsilon : threshold);
            found = Count(end, counts, ties) <= budget;
            ties.AsSpan().Clear();
        }

        if (!found)
        {
            end = Cut(budget);
            ShareTies(budget - Count(end, counts, ties), ties);
        }

        int[] starts = new int[counts.Length];
        int total = 0;
        for (int i = 0; i < counts.Length; i++)
        {
            starts[i] = total;
            counts[i] += ties[i];
            total += counts[i];
        }

        int[] positions = GC.AllocateUninitializedArray<int>(total);
        ForEachHead((layer, head) =>
        {
            int list = layer * _heads + head;
            ScoreOrder.Positions(Keys(layer, head), end, positions.AsSpan(starts[list], counts[list]), ties[list]);
        });
        return positions;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_keys is not null)
        {
            ArrayPool<uint>.Shared.Return(_keys);
            _keys = null;
        }
    }

    // What is left of the budget goes to equal rows, lower layers and KV heads first.
    private static void ShareTies(long left, int[] ties)
    {
        for (int i = 0; i < ties.Length; i++)
        {
            ties[i] = (int)Math.Min(left, ties[i]);
            left -= ties[i];
        }
    }

    // The key at which the budget ends, digit by digit: all rows before it fit, all rows up to it are as many as the budget or more.
    private uint Cut(long budget)
    {
        if (budget == 0)
        {
            return 0;
        }

        uint mask = 0;
        uint cut = 0;
        int[] counters = new int[ScoreOrder.Digits];
        for (int shift = 2 * ScoreOrder.DigitBits; shift >= 0; shift -= ScoreOrder.DigitBits)
        {
            counters.AsSpan().Clear();
            CountDigits(mask, cut, shift, counters);
            int digit = 0;
            while (counters[digit] < budget)
            {
                budget -= counters[digit++];
            }

            cut |= (uint)digit << shift;
            mask = uint.MaxValue << shift;
        }

        return cut;
    }

    private void CountDigits(uint mask, uint prefix, int shift, int[] counters) => ForEachLayer((layer, scratch) =>
    {
        Span<int> own = scratch.Counters;
        own.Clear();
        for (int head = 0; head < _heads; head++)
        {
            ScoreOrder.CountDigits(Keys(layer, head), mask, prefix, shift, own);
        }

        lock (_merging)
        {
            TensorPrimitives.Add<int>(counters, own, counters);
        }
    });

    // Rows of every head before a key, and those equal to it; returns the rows before it over all heads.
    private long Count(uint key, int[] before, int[] equal)
    {
        ForEachHead((layer, head) =>
        {
            int list = layer * _heads + head;
            (before[list], equal[list]) = ScoreOrder.Count(Keys(layer, head), key);
        });
        long total = 0;
        foreach (int rows in before)
        {
            total += rows;
        }

        return total;
    }

    private ReadOnlySpan<float> Score(int layer, int head, Span<float> row)
    {
        if (policy.Source == RowScore.Learned)
        {
            return scores.Learned(layer, head);
        }

        scores.CopyGroupMax(layer, head, row);
        if (policy.Source == RowScore.Both)
        {
            TensorPrimitives.Add(row, Epsilon, row);
            TensorPrimitives.Log<float>(row, row);
            TensorPrimitives.Add(row, scores.Learned(layer, head), row);
        }

        return row;
    }

    // First positions share the best key of all; recent ones follow, the latest first.
    private void Protect(Span<uint> keys)
    {
        int first = Math.Min(policy.Protected, _tokens);
        int recent = Math.Min(policy.Recent, _tokens - first);
        for (int age = 0; age < recent; age++)
        {
            keys[_tokens - 1 - age] = Math.Min((uint)age + 1, ScoreOrder.FirstKey - 1);
        }

        keys[..first].Clear();
    }

    private Span<uint> Keys(int layer, int head) => _keys.AsSpan((layer * _heads + head) * _tokens, _tokens);

    private void ForEachLayer(Action<int, Scratch> body) => LayerLoop.ForEach(scores.Layers, () => new Scratch(_tokens), body);

    private void ForEachHead(Action<int, int> body) => Parallel.For(0, scores.Layers, layer =>
    {
        for (int head = 0; head < _heads; head++)
        {
            body(layer, head);
        }
    });

    private PlanException NotFinite(int layer)
    {
        for (int head = 0; head < scores.Heads && policy.Source != RowScore.Learned; head++)
        {
            ReadOnlySpan<float> row = scores.Max(layer, head);
            if (ScoreOrder.FirstNotFinite(row) is { } token)
            {
                return new PlanException($"Layer {layer}, attention head {head}, token {token} has score {row[token]}: not a finite number.");
            }
        }

        for (int head = 0; head < _heads && policy.Source != RowScore.Repeat; head++)
        {
            ReadOnlySpan<float> row = scores.Learned(layer, head);
            if (ScoreOrder.FirstNotFinite(row) is { } token)
            {
                return new PlanException($"Layer {layer}, KV head {head}, token {token} has learned score {row[token]}: not a finite number.");
            }
        }

        return new PlanException($"The scores of layer {layer} are no attention weights: combined, they are no finite numbers.");
    }

    // One thread's memory: the scores of one KV head, and a digit's counters.
    private sealed class Scratch(int tokens) : IDisposable
    {
        private readonly float[] _row = ArrayPool<float>.Shared.Rent(tokens);
        private readonly int[] _counters = ArrayPool<int>.Shared.Rent(ScoreOrder.Digits);

        public Span<float> Row => _row.AsSpan(0, tokens);

        public Span<int> Counters => _counters.AsSpan(0, ScoreOrder.Digits);

        public void Dispose()
        {
            ArrayPool<float>.Shared.Return(_row);
            ArrayPool<int>.Shared.Return(_counters);
        }
    }
}
