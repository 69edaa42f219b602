using System.Buffers;
using System.Numerics.Tensors;
using EdgeKV.Models;
using EdgeKV.Numerics;
using EdgeKV.Planning;
using EdgeKV.Policies.Selection;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>One run of <see cref="KVCompose"/>: its buffers are rented and go back when it is disposed.</summary>
internal sealed class KVComposeWork(KVCompose policy, AttentionScores scores) : IDisposable
{
    private readonly Statistic _attention = policy.Attention;
    private readonly int _tokens = scores.Tokens;
    private readonly HeadLayout _kvHeads = scores.KvHeads;
    private uint[]? _table;

    /// <summary>Shares the budget: rows of each layer (structured) or of each KV head.</summary>
    /// <param name="budget">What may stay, at most all.</param>
    /// <param name="units">Takes the rows of each layer, or of each KV head.</param>
    /// <exception cref="PlanException">A score is not finite, or the context is too large for one plan.</exception>
    public void Share(RowLimit budget, int[] units)
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
            Span<float> scored = scratch.Scores(_kvHeads[layer]);
            ScoreLayer(layer, scored, scratch.Row);
            if (!TensorPrimitives.IsFiniteAll<float>(scored))
            {
                LayerLoop.Lower(ref broken, layer);
                return;
            }

            if (policy.Structured)
            {
                SortComposite(scratch, _kvHeads[layer], table.AsSpan(layer * blocks, blocks));
            }
            else
            {
                for (int head = 0; head < _kvHeads[layer]; head++)
                {
                    ScoreOrder.SortKeys(scratch.Head(head), scratch.Sorted, scratch.Spare, scratch.Histogram);
                    Thin(scratch.Sorted, table.AsSpan((_kvHeads.First(layer) + head) * blocks, blocks));
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
    /// <param name="counts">Rows of every KV head, layer after layer.</param>
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
            int first = _kvHeads.First(layer);
            ReadOnlySpan<int> rows = counts.AsSpan(first, _kvHeads[layer]);

            // Scores are worked out anew, not kept: reading them twice costs less than holding a second copy of them.
            if (rows.ContainsAnyExcept(0, _tokens))
            {
                ScoreLayer(layer, scratch.Scores(rows.Length), scratch.Row);
            }

            for (int head = 0; head < rows.Length; head++)
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
    private void ShareBlocks(ReadOnlySpan<uint> table, int blocks, RowLimit budget, Span<int> units)
    {
        int multiple = policy.RowMultiple;
        int protectedBlocks = (int)(((long)policy.LowerBound + multiple - 1) / multiple);
        long[] perRow = new long[units.Length];
        for (int i = 0; i < perRow.Length; i++)
        {
            perRow[i] = budget.PerRow(policy.Structured ? i : _kvHeads.At(i).Layer);
        }

        long all = budget.PerToken * _tokens;
        if (budget.Units >= all)
        {
            units.Fill(_tokens);
            return;
        }

        // Layer 0 only borrows its scores then: an equal score goes to the layer it was taken from.
        int tiesFrom = policy.FirstLayerLargest ? 1 : 0;
        long affordable = budget.Units / multiple;
        int[] before = new int[units.Length];
        while (true)
        {
            PrefixTable.Share(table, blocks, affordable, perRow, protectedBlocks, tiesFrom, units);
            long taken = 0;
            long used = 0;
            for (int i = 0; i < units.Length; i++)
            {
                long rows = (long)units[i] * multiple;
                taken += rows * perRow[i];
                units[i] = (int)Math.Min(_tokens, rows);
                used += units[i] * perRow[i];
            }

            // Where layers' rows take more or less of the budget, more of it may have given up a short block for a whole one.
            if (used > budget.Units)
            {
                before.CopyTo(units);
                return;
            }

            long next = (budget.Units + taken - used) / multiple;
            if (next <= affordable || used == all)
            {
                return;
            }

            units.CopyTo(before);
            affordable = next;
        }
    }

    // s of all KV heads of a layer. Float32, in the reference's order: sums run upwards from the first head, then one division.
    private void ScoreLayer(int layer, Span<float> destination, Span<float> row)
    {
        int group = scores.GroupSize(layer);
        int heads = _kvHeads[layer];
        for (int head = 0; head < heads; head++)
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
            for (int head = 1; head < heads; head++)
            {
                TensorPrimitives.Add(mean, Head(destination, head), mean);
            }

            TensorPrimitives.Divide(mean, heads, mean);
            for (int head = 0; head < heads; head++)
            {
                TensorPrimitives.Add(Head(destination, head), mean, Head(destination, head));
            }
        }
    }

    private Span<float> Head(Span<float> scores, int head) => scores.Slice(head * _tokens, _tokens);

    // The keys of c[t] = mean (or maximum) over heads of the t-th highest score.
    private void SortComposite(Scratch scratch, int heads, Span<uint> destination)
    {
        if (policy.Composite == CompositeScore.Max || heads == 1)
        {
            Span<uint> best = scratch.Best;
            ScoreOrder.SortKeys(scratch.Head(0), best, scratch.Spare, scratch.Histogram);
            for (int head = 1; head < heads; head++)
            {
                ScoreOrder.SortKeys(scratch.Head(head), scratch.Sorted, scratch.Spare, scratch.Histogram);
                TensorPrimitives.Min<uint>(best, scratch.Sorted, best);
            }

            Thin(best, destination);
            return;
        }

        Span<float> sum = scratch.Row;
        sum.Clear();
        for (int head = 0; head < heads; head++)
        {
            Span<uint> sorted = scratch.Sorted;
            ScoreOrder.SortKeys(scratch.Head(head), sorted, scratch.Spare, scratch.Histogram);
            for (int t = 0; t < sum.Length; t++)
            {
                sum[t] += ScoreOrder.Score(sorted[t]);
            }
        }

        // Adding and dividing round, but never change the order: c does not rise with t.
        TensorPrimitives.Divide(sum, heads, sum);
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

    private void ForEachLayer(Action<int, Scratch> body) => LayerLoop.ForEach(scores.Layers, () => new Scratch(_kvHeads.Most, _tokens), body);

    private PlanException NotFinite(int layer)
    {
        for (int head = 0; head < scores.Heads[layer]; head++)
        {
            ReadOnlySpan<float> row = scores.Values(_attention, layer, head);
            if (ScoreOrder.FirstNotFinite(row) is { } token)
            {
                return new PlanException($"Layer {layer}, attention head {head}, token {token} has score {row[token]}: not a finite number.");
            }
        }

        for (int head = 0; head < _kvHeads[layer] && policy.ValueNorm; head++)
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

        public Scratch(int heads, int tokens)
        {
            _tokens = tokens;
            _scores = ArrayPool<float>.Shared.Rent(checked(heads * tokens));
            _row = ArrayPool<float>.Shared.Rent(tokens);
            _keys = ArrayPool<uint>.Shared.Rent(checked(3 * tokens));
            _histogram = ArrayPool<int>.Shared.Rent(ScoreOrder.HistogramLength);
        }

        public Span<float> Scores(int heads) => _scores.AsSpan(0, heads * _tokens);

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
