using System.Buffers;
using System.Numerics.Tensors;
using EdgeKV.Numerics;
using EdgeKV.Policies.Selection;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>One run of <see cref="KVCompose"/>: its buffers are rented and go back when it is disposed.</summary>
internal sealed class KVComposeWork(KVCompose policy, AttentionScores scores) : IDisposable
{
    private readonly Statistic _attention = policy.Attention;
    private readonly int _tokens = scores.Tokens;
    private readonly int _heads = scores.KvHeads;
    private uint[]? _table;

    /// <summary>Shares the budget: rows of each layer (structured) or of each KV head.</summary>
    /// <param name="budget">Units that may stay, at most all.</param>
    /// <param name="units">Takes the rows, [layers] or [layers, kvHeads].</param>
    /// <exception cref="PlanException">A score is not finite, or the context is too large for one plan.</exception>
    public void Share(long budget, int[] units)
    {
        int multiple = policy.RowMultiple;
        int blocks = (_tokens - 1) / multiple + 1;
        long entries = (long)units.Length * blocks;
        if (entries > Array.MaxLength)
        {
            throw new PlanException($"A context of {_tokens} tokens is too long to be planned at once.");
        }

        uint[] table = _table = ArrayPool<uint>.Shared.Rent((int)entries);
        int broken = int.MaxValue;
        ForEachLayer((layer, scratch) =>
        {
            ScoreLayer(layer, scratch.Scores, scratch.Row);
            if (!TensorPrimitives.IsFiniteAll<float>(scratch.Scores))
            {
                LayerLoop.Lower(ref broken, layer);
                return;
            }

            if (policy.Structured)
            {
                SortComposite(scratch, table.AsSpan(layer * blocks, blocks));
            }
            else
            {
                for (int head = 0; head < _heads; head++)
                {
                    ScoreOrder.SortKeys(scratch.Head(head), scratch.Sorted, scratch.Spare, scratch.Histogram);
                    Thin(scratch.Sorted, table.AsSpan((layer * _heads + head) * blocks, blocks));
                }
            }
        });
        if (broken < int.MaxValue)
        {
            throw NotFinite(broken);
        }

        Span<uint> filled = table.AsSpan(0, (int)entries);
        if (policy.FirstLayerLargest)
        {
            for (int layer = 1; layer < units.Length; layer++)
            {
                TensorPrimitives.Min<uint>(filled[..blocks], filled.Slice(layer * blocks, blocks), filled[..blocks]);
            }
        }

        ShareBlocks(filled, blocks, budget, units);
    }

    /// <summary>The positions of all heads one after another: each head's highest scores.</summary>
    /// <param name="counts">Rows of every KV head, [layers, kvHeads].</param>
    public int[] Positions(int[] counts)
    {
        int[] starts = new int[counts.Length];
        long total = 0;
        for (int i = 0; i < counts.Length; i++)
        {
            starts[i] = (int)Math.Min(total, int.MaxValue);
            total += counts[i];
        }

        if (total > Array.MaxLength)
        {
            throw new PlanException($"A plan of {total} rows is more than one plan can hold: {Array.MaxLength}.");
        }

        int[] positions = GC.AllocateUninitializedArray<int>((int)total);
        ForEachLayer((layer, scratch) =>
        {
            int first = layer * _heads;
            ReadOnlySpan<int> rows = counts.AsSpan(first, _heads);

            // Scores are worked out anew, not kept: reading them twice costs less than holding a second copy of them.
            if (rows.ContainsAnyExcept(0, _tokens))
            {
                ScoreLayer(layer, scratch.Scores, scratch.Row);
            }

            for (int head = 0; head < _heads; head++)
            {
                Span<int> destination = positions.AsSpan(starts[first + head], rows[head]);
                ScoreOrder.TopPositions(scratch.Head(head), destination, scratch.Spare, scratch.Histogram);
            }
        });
        return positions;
    }

    /// <summary>Writes s of all KV heads of a layer, [kvHeads, tokens].</summary>
    public void CopyScores(int layer, Span<float> destination)
    {
        float[] row = ArrayPool<float>.Shared.Rent(_tokens);
        ScoreLayer(layer, destination, row.AsSpan(0, _tokens));
        ArrayPool<float>.Shared.Return(row);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_table is not null)
        {
            ArrayPool<uint>.Shared.Return(_table);
            _table = null;
        }
    }

    // With blocks of several rows the last block of a list may be short. What it leaves over goes to further blocks, best first.
    private void ShareBlocks(ReadOnlySpan<uint> table, int blocks, long budget, Span<int> units)
    {
        int multiple = policy.RowMultiple;
        int protectedBlocks = (int)(((long)policy.LowerBound + multiple - 1) / multiple);
        long all = (long)units.Length * _tokens;
        if (budget >= all)
        {
            units.Fill(_tokens);
            return;
        }

        // Layer 0 only borrows its scores then: an equal score goes to the layer it was taken from.
        int tiesFrom = policy.FirstLayerLargest ? 1 : 0;
        long affordable = budget / multiple;
        while (true)
        {
            PrefixTable.Share(table, blocks, affordable, protectedBlocks, tiesFrom, units);
            long used = 0;
            for (int i = 0; i < units.Length; i++)
            {
                units[i] = (int)Math.Min(_tokens, (long)units[i] * multiple);
                used += units[i];
            }

            long more = (budget - used) / multiple;
            if (more == 0 || used == all)
            {
                return;
            }

            affordable += more;
        }
    }

    // s of all KV heads of a layer. Float32, in the reference's order: sums run upwards from the first head, then one division.
    private void ScoreLayer(int layer, Span<float> destination, Span<float> row)
    {
        int group = scores.GroupSize;
        for (int head = 0; head < _heads; head++)
        {
            Span<float> sum = Head(destination, head);
            if (policy.Aggregate == TaskAggregate.Max)
            {
                scores.CopyGroupMean(_attention, layer, head, sum);
            }
            else
            {
                scores.CopyMean(_attention, layer, head * group, sum);
                for (int member = 1; member < group; member++)
                {
                    scores.CopyMean(_attention, layer, head * group + member, row);
                    TensorPrimitives.Add(sum, row, sum);
                }

                if (group > 1)
                {
                    TensorPrimitives.Divide(sum, group, sum);
                }
            }

            if (policy.ValueNorm)
            {
                TensorPrimitives.Multiply(sum, scores.ValueNorms(layer, head), sum);
            }
        }

        if (policy.Stabilize)
        {
            Span<float> mean = row;
            Head(destination, 0).CopyTo(mean);
            for (int head = 1; head < _heads; head++)
            {
                TensorPrimitives.Add(mean, Head(destination, head), mean);
            }

            TensorPrimitives.Divide(mean, _heads, mean);
            for (int head = 0; head < _heads; head++)
            {
                TensorPrimitives.Add(Head(destination, head), mean, Head(destination, head));
            }
        }
    }

    private Span<float> Head(Span<float> scores, int head) => scores.Slice(head * _tokens, _tokens);

    // The keys of c[t] = mean (or maximum) over heads of the t-th highest score.
    private void SortComposite(Scratch scratch, Span<uint> destination)
    {
        if (policy.Composite == CompositeScore.Max || _heads == 1)
        {
            Span<uint> best = scratch.Best;
            ScoreOrder.SortKeys(scratch.Head(0), best, scratch.Spare, scratch.Histogram);
            for (int head = 1; head < _heads; head++)
            {
                ScoreOrder.SortKeys(scratch.Head(head), scratch.Sorted, scratch.Spare, scratch.Histogram);
                TensorPrimitives.Min<uint>(best, scratch.Sorted, best);
            }

            Thin(best, destination);
            return;
        }

        Span<float> sum = scratch.Row;
        sum.Clear();
        for (int head = 0; head < _heads; head++)
        {
            Span<uint> sorted = scratch.Sorted;
            ScoreOrder.SortKeys(scratch.Head(head), sorted, scratch.Spare, scratch.Histogram);
            for (int t = 0; t < sum.Length; t++)
            {
                sum[t] += ScoreOrder.Score(sorted[t]);
            }
        }

        // Adding and dividing round, but never change the order: c does not rise with t.
        TensorPrimitives.Divide(sum, _heads, sum);
        for (int block = 0; block < destination.Length; block++)
        {
            destination[block] = ScoreOrder.Key(sum[block * policy.RowMultiple]);
        }
    }

    // A block of rows is worth its best row.
    private void Thin(ReadOnlySpan<uint> sorted, Span<uint> destination)
    {
        if (policy.RowMultiple == 1)
        {
            sorted.CopyTo(destination);
            return;
        }

        for (int block = 0; block < destination.Length; block++)
        {
            destination[block] = sorted[block * policy.RowMultiple];
        }
    }

    private void ForEachLayer(Action<int, Scratch> body) => LayerLoop.ForEach(scores.Layers, () => new Scratch(_heads, _tokens), body);

    private PlanException NotFinite(int layer)
    {
        for (int head = 0; head < scores.Heads; head++)
        {
            ReadOnlySpan<float> row = scores.Values(_attention, layer, head);
            if (ScoreOrder.FirstNotFinite(row) is { } token)
            {
                return new PlanException($"Layer {layer}, attention head {head}, token {token} has score {row[token]}: not a finite number.");
            }
        }

        for (int head = 0; head < _heads && policy.ValueNorm; head++)
        {
            ReadOnlySpan<float> row = scores.ValueNorms(layer, head);
            if (ScoreOrder.FirstNotFinite(row) is { } token)
            {
                return new PlanException($"Layer {layer}, KV head {head}, token {token} has value norm {row[token]}: not a finite number.");
            }
        }

        return new PlanException($"The scores of layer {layer} are too large: combined, they pass what float32 holds.");
    }

    // One thread's memory: scores of a layer's KV heads, and what sorting one head takes.
    private sealed class Scratch : IDisposable
    {
        private readonly int _tokens;
        private readonly float[] _scores;
        private readonly float[] _row;
        private readonly uint[] _keys;
        private readonly int[] _histogram;
        private readonly int _heads;

        public Scratch(int heads, int tokens)
        {
            _heads = heads;
            _tokens = tokens;
            _scores = ArrayPool<float>.Shared.Rent(checked(heads * tokens));
            _row = ArrayPool<float>.Shared.Rent(tokens);
            _keys = ArrayPool<uint>.Shared.Rent(checked(3 * tokens));
            _histogram = ArrayPool<int>.Shared.Rent(ScoreOrder.HistogramLength);
        }

        public Span<float> Scores => _scores.AsSpan(0, _heads * _tokens);

        public Span<float> Row => _row.AsSpan(0, _tokens);

        public Span<uint> Sorted => _keys.AsSpan(0, _tokens);

        public Span<uint> Spare => _keys.AsSpan(_tokens, _tokens);

        public Span<uint> Best => _keys.AsSpan(2 * _tokens, _tokens);

        public Span<int> Histogram => _histogram;

        public Span<float> Head(int head) => _scores.AsSpan(head * _tokens, _tokens);

        public void Dispose()
        {
            ArrayPool<float>.Shared.Return(_scores);
            ArrayPool<float>.Shared.Return(_row);
            ArrayPool<uint>.Shared.Return(_keys);
            ArrayPool<int>.Shared.Return(_histogram);
        }
    }
}
