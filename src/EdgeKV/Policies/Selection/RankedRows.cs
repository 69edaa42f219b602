using System.Buffers;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using EdgeKV.Models;
using EdgeKV.Numerics;
using EdgeKV.Planning;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Selection;

/// <summary>
/// All rows of a context by their scores, as keys of <see cref="ScoreOrder"/>, protected rows first. Allocators decide how many rows each KV head
/// keeps; which ones follows from the keys. The keys are rented and go back when it is disposed.
/// </summary>
internal sealed class RankedRows : IDisposable
{
    private readonly IRowScorer _scorer;
    private readonly AttentionScores _scores;
    private readonly int _tokens;
    private readonly HeadLayout _kvHeads;
    private uint[]? _keys;

    private RankedRows(IRowScorer scorer, AttentionScores scores)
    {
        _scorer = scorer;
        _scores = scores;
        _tokens = scores.Tokens;
        _kvHeads = scores.KvHeads;
        long rows = (long)_kvHeads.Total * _tokens;
        if (rows > Array.MaxLength)
        {
            throw new PlanException($"A context of {_tokens} tokens is too long to be planned at once.");
        }

        _keys = ArrayPool<uint>.Shared.Rent((int)rows);
    }

    /// <summary>KV heads of all layers, which is how many lists of rows there are: layer after layer.</summary>
    public int Lists => _kvHeads.Total;

    /// <summary>Whether the scores behind the keys are logarithms.</summary>
    public bool AreLogarithms => _scorer.AreLogarithms;

    /// <summary>Scores all rows and ranks the protected ones first.</summary>
    /// <param name="scorer">Scores them.</param>
    /// <param name="scores">At least the statistics that the scorer asks for.</param>
    /// <param name="rows">Rows that a KV head keeps, on average: what is protected may depend on it.</param>
    /// <exception cref="PlanException">A score is not finite, or the context is too large for one plan.</exception>
    public static RankedRows Of(IRowScorer scorer, AttentionScores scores, int rows)
    {
        ProtectedRows first = scorer.Protect(scores.Tokens, rows);
        return Of(scorer, scores, _ => first);
    }

    /// <inheritdoc cref="Of(IRowScorer, AttentionScores, int)"/>
    /// <param name="scorer">Scores them.</param>
    /// <param name="scores">At least the statistics that the scorer asks for.</param>
    /// <param name="protect">What is protected of a list.</param>
    public static RankedRows Of(IRowScorer scorer, AttentionScores scores, Func<int, ProtectedRows> protect)
    {
        var ranked = new RankedRows(scorer, scores);
        try
        {
            ranked.Rank(protect);
            return ranked;
        }
        catch
        {
            ranked.Dispose();
            throw;
        }
    }

    /// <summary>The keys of one KV head's rows, by position: the lower, the better.</summary>
    public Span<uint> Keys(int list) => _keys.AsSpan(list * _tokens, _tokens);

    /// <summary>The keys of all of a layer's rows, one KV head after another.</summary>
    public Span<uint> LayerKeys(int layer) => _keys.AsSpan(_kvHeads.First(layer) * _tokens, _kvHeads[layer] * _tokens);

    /// <summary>Ranks every KV head's best rows above all others.</summary>
    /// <param name="rows">So many of a list, 0 to all.</param>
    public void ProtectBest(Func<int, int> rows) => ForEachLayer((layer, counters) =>
    {
        for (int list = _kvHeads.First(layer); list < _kvHeads.First(layer + 1); list++)
        {
            ProtectBest(Keys(list), rows(list), counters);
        }
    });

    /// <summary>Ranks every layer's best rows, all its KV heads together, above all others.</summary>
    /// <param name="rows">So many of a layer, 0 to all.</param>
    public void ProtectBestOfLayers(Func<int, int> rows) => ForEachLayer((layer, counters) => ProtectBest(LayerKeys(layer), rows(layer), counters));

    /// <summary>
    /// How many rows each KV head has where its own best ones are sure and the best of all the layer's heads together fill up the layer. Keys stay what they are.
    /// </summary>
    /// <param name="rows">Rows of a layer, 0 to all.</param>
    /// <param name="safe">Best rows of each head that are sure, 0 to the layer's rows by its KV heads.</param>
    public int[] CountByLayer(Func<int, int> rows, int safe = 0)
    {
        int[] counts = new int[Lists];
        ForEachLayer((layer, counters) =>
        {
            Span<uint> keys = LayerKeys(layer);
            uint[] rented = ArrayPool<uint>.Shared.Rent(safe > 0 ? keys.Length : 0);
            if (safe > 0)
            {
                keys.CopyTo(rented);
                keys = rented.AsSpan(0, keys.Length);
                for (int head = 0; head < _kvHeads[layer]; head++)
                {
                    ProtectBest(keys.Slice(head * _tokens, _tokens), safe, counters);
                }
            }

            (uint end, int ties) = ScoreOrder.Cut(keys, rows(layer), counters);
            for (int head = 0; head < _kvHeads[layer]; head++)
            {
                (int before, int equal) = ScoreOrder.Count(keys.Slice(head * _tokens, _tokens), end);
                int taken = Math.Min(equal, ties);
                ties -= taken;
                counts[_kvHeads.First(layer) + head] = before + taken;
            }

            ArrayPool<uint>.Shared.Return(rented);
        });
        return counts;
    }

    /// <summary>How many of the best rows of all layers together lie in each KV head.</summary>
    /// <param name="budget">The most rows.</param>
    /// <param name="limit">Rows with this key or a higher one stay out; null: none does.</param>
    public int[] CountOverall(RowLimit budget, uint? limit = null) => Counts(CutOverall(budget, limit));

    /// <summary>The plan of the best rows of all layers together.</summary>
    /// <param name="budget">The most rows.</param>
    /// <param name="limit">Rows with this key or a higher one stay out; null: none does.</param>
    public CompressionPlan PlanOverall(RowLimit budget, uint? limit = null)
    {
        GlobalCut cut = CutOverall(budget, limit);
        return Plan(Counts(cut), budget, (list, _) => (cut.End, cut.Ties[list]));
    }

    /// <summary>The plan in which every KV head keeps its best rows.</summary>
    /// <param name="counts">Rows of every KV head, layer after layer, taken over.</param>
    /// <param name="limit">The most rows that may stay; null: the counts cannot be more.</param>
    public CompressionPlan Plan(int[] counts, RowLimit? limit = null) =>
        Plan(counts, limit, (list, counters) => ScoreOrder.Cut(Keys(list), counts[list], counters));

    /// <summary>Work over the layers in parallel.</summary>
    /// <param name="body">Takes the layer and a thread's counters, as <see cref="ScoreOrder.Cut"/> needs them.</param>
    public void ForEachLayer(Action<int, int[]> body) =>
        LayerLoop.ForEach(_scores.Layers, static () => new Counters(), (layer, scratch) => body(layer, scratch.Values));

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_keys is not null)
        {
            ArrayPool<uint>.Shared.Return(_keys);
            _keys = null;
        }
    }

    private static void ProtectBest(Span<uint> keys, int rows, int[] counters)
    {
        (uint end, int ties) = ScoreOrder.Cut(keys, rows, counters);
        foreach (ref uint key in keys)
        {
            bool tied = key == end && ties > 0;
            ties -= tied ? 1 : 0;
            key = key < end || tied ? 0 : key;
        }
    }

    private GlobalCut CutOverall(RowLimit budget, uint? limit) => GlobalCut.Find(_kvHeads, list => Keys(list), limit, budget, budget.Units);

    private static int[] Counts(GlobalCut cut)
    {
        int[] counts = new int[cut.Before.Length];
        TensorPrimitives.Add<int>(cut.Before, cut.Ties, counts);
        return counts;
    }

    // cut: the key at which a list ends, and how many of its rows equal to it stay.
    private CompressionPlan Plan(int[] counts, RowLimit? limit, Func<int, int[], (uint End, int Ties)> cut)
    {
        int[] starts = new int[counts.Length];
        long total = 0;
        for (int list = 0; list < counts.Length; list++)
        {
            starts[list] = (int)Math.Min(total, int.MaxValue);
            total += counts[list];
        }

        if (total > Array.MaxLength)
        {
            throw new PlanException($"A plan of {total} rows is more than one plan can hold: {Array.MaxLength}.");
        }

        int[] positions = GC.AllocateUninitializedArray<int>((int)total);
        ForEachLayer((layer, counters) =>
        {
            for (int list = _kvHeads.First(layer); list < _kvHeads.First(layer + 1); list++)
            {
                (uint end, int ties) = cut(list, counters);
                ScoreOrder.Positions(Keys(list), end, positions.AsSpan(starts[list], counts[list]), ties);
            }
        });
        return limit is null
            ? CompressionPlan.Adopt(_kvHeads, _tokens, counts, positions)
            : CompressionPlan.Adopt(_kvHeads, _tokens, counts, positions, limit);
    }

    // Scores are written where their keys will be: one copy.
    private void Rank(Func<int, ProtectedRows> protect)
    {
        int broken = int.MaxValue;
        ForEachLayer((layer, _) =>
        {
            Span<uint> keys = LayerKeys(layer);
            Span<float> written = MemoryMarshal.Cast<uint, float>(keys);
            _scorer.Score(_scores, layer, written);
            if (!TensorPrimitives.IsFiniteAll<float>(written))
            {
                LayerLoop.Lower(ref broken, layer);
                return;
            }

            ScoreOrder.Keys(written, keys);
            for (int list = _kvHeads.First(layer); list < _kvHeads.First(layer + 1); list++)
            {
                protect(list).Rank(Keys(list), 0, _tokens);
            }
        });
        if (broken < int.MaxValue)
        {
            throw NotFinite(broken);
        }
    }

    // What the scores were made of says more than the score that it spoilt.
    private PlanException NotFinite(int layer)
    {
        foreach (Statistic statistic in _scorer.Request.Statistics)
        {
            string kind = statistic.IsPerAttentionHead ? "attention head" : "KV head";
            for (int head = 0; head < _scores.Geometry.Rows(statistic.IsPerAttentionHead)[layer]; head++)
            {
                ReadOnlySpan<float> row = _scores.Values(statistic, layer, head);
                if (ScoreOrder.FirstNotFinite(row) is { } broken)
                {
                    string token = statistic is QueryMoments ? string.Empty : $", token {broken}";
                    return new PlanException($"Layer {layer}, {kind} {head}{token} has {statistic} {row[broken]}: not a finite number.");
                }
            }
        }

        Span<float> written = MemoryMarshal.Cast<uint, float>(LayerKeys(layer));
        int first = ScoreOrder.FirstNotFinite(written).GetValueOrDefault();
        return new PlanException(
            $"Layer {layer}, KV head {first / _tokens}, token {first % _tokens} has {_scorer.Name} score {written[first]}: not a finite number.");
    }

    // One thread's counters of a digit.
    private sealed class Counters : IDisposable
    {
        public int[] Values { get; } = ArrayPool<int>.Shared.Rent(ScoreOrder.Digits);

        public void Dispose() => ArrayPool<int>.Shared.Return(Values);
    }
}
