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

    private readonly Statistic _seen = new TaskAttention(policy.TaskSet, AttentionAggregate.Max);
    private readonly int _tokens = scores.Tokens;
    private readonly int _heads = scores.KvHeads;
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
        LayerLoop.ForEach(scores.Layers, () => new Scratch(_tokens), (layer, scratch) =>
        {
            for (int head = 0; head < _heads; head++)
            {
                ReadOnlySpan<float> row = Score(layer, head, scratch.Row);
                if (!TensorPrimitives.IsFiniteAll(row))
                {
                    LayerLoop.Lower(ref broken, layer);
                    return;
                }

                Span<uint> keys = Keys(layer * _heads + head);
                ScoreOrder.Keys(row, keys);
                policy.Protect(_tokens, _tokens).Rank(keys, 0, _tokens);
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
        GlobalCut cut = GlobalCut.Find(scores.Layers, _heads, list => Keys(list), Limit(policy), budget);
        int[] starts = new int[counts.Length];
        int total = 0;
        for (int i = 0; i < counts.Length; i++)
        {
            starts[i] = total;
            counts[i] = cut.Before[i] + cut.Ties[i];
            total += counts[i];
        }

        int[] positions = GC.AllocateUninitializedArray<int>(total);
        Parallel.For(0, scores.Layers, layer =>
        {
            for (int list = layer * _heads; list < (layer + 1) * _heads; list++)
            {
                ScoreOrder.Positions(Keys(list), cut.End, positions.AsSpan(starts[list], counts[list]), cut.Ties[list]);
            }
        });
        return positions;
    }

    /// <summary>The key that rows must stay below to reach the policy's threshold; null where it has none.</summary>
    public static uint? Limit(GlobalTopK policy) => policy.Threshold is { } threshold
        ? ScoreOrder.KeyAfter(policy.Source == RowScore.Repeat ? Math.Exp(threshold) - Epsilon : threshold)
        : null;

    /// <summary>Writes what a KV head's rows are worth, [tokens].</summary>
    public void CopyScore(int layer, int head, Span<float> destination)
    {
        ReadOnlySpan<float> row = Score(layer, head, destination);
        if (policy.Source == RowScore.Learned)
        {
            row.CopyTo(destination);
        }
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

    private ReadOnlySpan<float> Score(int layer, int head, Span<float> row)
    {
        if (policy.Source == RowScore.Learned)
        {
            return scores.Learned(layer, head);
        }

        scores.CopyGroupMean(_seen, layer, head, row);
        if (policy.Source == RowScore.Both)
        {
            TensorPrimitives.Add(row, Epsilon, row);
            TensorPrimitives.Log<float>(row, row);
            TensorPrimitives.Add(row, scores.Learned(layer, head), row);
        }

        return row;
    }

    private Span<uint> Keys(int list) => _keys.AsSpan(list * _tokens, _tokens);

    private PlanException NotFinite(int layer)
    {
        for (int head = 0; head < scores.Heads && policy.Source != RowScore.Learned; head++)
        {
            ReadOnlySpan<float> row = scores.Values(_seen, layer, head);
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

    // One thread's memory: the scores of one KV head.
    private sealed class Scratch(int tokens) : IDisposable
    {
        private readonly float[] _row = ArrayPool<float>.Shared.Rent(tokens);

        public Span<float> Row => _row.AsSpan(0, tokens);

        public void Dispose() => ArrayPool<float>.Shared.Return(_row);
    }
}
