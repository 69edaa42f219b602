using System.Buffers;
using System.Numerics.Tensors;
using EdgeKV.Models;
using EdgeKV.Numerics;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Selection;
using EdgeKV.Scoring;

namespace EdgeKV.Reading;

/// <summary>
/// Plans which rows stay while a context is read in chunks: after each chunk the best of the rows that are still there and of the chunk's, as
/// many as the budget of the whole context allows, and on top of them the latest tokens of all KV heads until the next chunk.
/// </summary>
/// <remarks>
/// A row among the best of the whole context is among the best of every beginning of it that holds the row, as its score depends on
/// nothing that comes later (<see cref="IReadingScorer"/>) and recent positions are counted from the whole context's end. So no row is dropped that the last plan wants, and
/// that plan is the one of <see cref="Policies.RowPolicy.Plan"/> over all scores at once, however the context is cut into chunks.
/// Where kept rows close up, every KV head keeps the best of its own rows, as many as the others, and plans are over the rows that are there: a row's
/// position is its index among its head's.
/// Memory: 8 bytes for each row that is still there. Not for several threads at once.
/// </remarks>
public sealed class ReadingPlanner
{
    private readonly GlobalRanking _policy;
    private readonly IReadingScorer _scorer;
    private readonly ProtectedRows _protected;
    private readonly int _keepLatest;
    private readonly bool _closesUp;
    private readonly int _equalRows;
    private readonly uint? _limit;
    private readonly HeadRows[] _heads;

    /// <summary>A planner for a context of which nothing has been read.</summary>
    /// <param name="policy">Ranks by an <see cref="IReadingScorer"/>. Its budget is that of the whole context.</param>
    /// <param name="kvHeads">KV heads of each layer.</param>
    /// <param name="tokens">Tokens of the whole context, 1 and up.</param>
    /// <param name="keepLatest">Latest tokens that all KV heads keep until the next chunk, beside the budget, 0 and up.</param>
    /// <param name="cost">What a row costs; needed for a budget in bytes.</param>
    /// <param name="closesUp">Whether kept rows take the positions 0 to rows - 1 after every plan, and so all KV heads keep equally many.</param>
    /// <exception cref="PlanException">
    /// The policy's scores need the whole context, or its budget cannot be met; it has a limit, and all heads shall keep equally many.
    /// </exception>
    /// <exception cref="ArgumentOutOfRangeException">A number is out of its range.</exception>
    public ReadingPlanner(
        GlobalRanking policy, HeadLayout kvHeads, int tokens, int keepLatest, RowCost cost = default, bool closesUp = false)
    {
        ArgumentNullException.ThrowIfNull(policy);
        ArgumentNullException.ThrowIfNull(kvHeads);
        ArgumentOutOfRangeException.ThrowIfLessThan(tokens, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(keepLatest);
        _scorer = ScorerOf(policy);
        if (closesUp && policy.Limit is not null)
        {
            throw new PlanException("By a threshold KV heads keep different numbers of rows, and positions close up where all keep equally many. Give a budget.");
        }

        _policy = policy;
        _closesUp = closesUp;
        _keepLatest = keepLatest;
        _limit = policy.LimitKey;
        _protected = policy.Protect(tokens, tokens);
        KvHeads = kvHeads;
        Tokens = tokens;
        _equalRows = closesUp ? policy.Budget.EqualRows(kvHeads, tokens, cost) : 0;
        Budget = policy.Budget.RaggedRows(kvHeads, tokens, cost);
        _heads = new HeadRows[kvHeads.Total];
        for (int i = 0; i < _heads.Length; i++)
        {
            _heads[i] = new HeadRows();
        }
    }

    /// <summary>KV heads of each layer.</summary>
    public HeadLayout KvHeads { get; }

    /// <summary>Tokens of the whole context.</summary>
    public int Tokens { get; }

    /// <summary>Tokens read so far.</summary>
    public int Read { get; private set; }

    /// <summary>Rows that may stay of the whole context, over all layers and KV heads.</summary>
    public RowLimit Budget { get; }

    /// <summary>
    /// The plan for the tokens read so far, with the next ones. After the context's last token the latest tokens have no place beside the
    /// budget any more: that plan is the final one.
    /// </summary>
    /// <param name="chunk">What the policy asks for, of the next tokens alone, 1 and up.</param>
    /// <returns>Only rows of the plan before and of the chunk.</returns>
    /// <exception cref="PlanException">
    /// The scores lack what the policy asks for, are not those of this context, or are not finite numbers. Nothing has been read then.
    /// </exception>
    public CompressionPlan Next(AttentionScores chunk)
    {
        ArgumentNullException.ThrowIfNull(chunk);
        if (!chunk.KvHeads.Equals(KvHeads) || chunk.Tokens > Tokens - Read)
        {
            throw new PlanException(
                $"The scores are of {chunk.Tokens} tokens in {chunk.KvHeads} KV heads; "
                + $"{Tokens - Read} of {Tokens} in {KvHeads} have not been read.");
        }

        chunk.ThrowIfLacking(_policy.Request, "Dropping while reading");
        float[] rented = ArrayPool<float>.Shared.Rent(KvHeads.Total * chunk.Tokens);
        try
        {
            Score(chunk, rented);
            Parallel.For(0, _heads.Length, list =>
            {
                HeadRows rows = _heads[list];
                Span<uint> keys = rows.Append(_closesUp ? rows.Count : Read, chunk.Tokens);
                ScoreOrder.Keys(rented.AsSpan(list * chunk.Tokens, chunk.Tokens), keys);
                _protected.Rank(keys, Read, Tokens);
            });
        }
        finally
        {
            ArrayPool<float>.Shared.Return(rented);
        }

        Read += chunk.Tokens;
        return _closesUp ? DropEqually() : Drop();
    }

    /// <summary>What ranks rows while they are read.</summary>
    /// <exception cref="PlanException">The policy cannot judge a row before the whole context has been read.</exception>
    internal static IReadingScorer ScorerOf(GlobalRanking policy)
    {
        if (policy.Scorer is not IReadingScorer scorer)
        {
            throw new PlanException(
                $"Rows can be dropped while reading where their scores are there as soon as they are read, as learned scores are: {policy.Scorer.Name} scores need the whole context.");
        }

        return policy.IsPlain
            ? scorer
            : throw new PlanException("While reading rows are ranked over the whole model and nothing else: leave out floors, a row multiple and composed rows.");
    }

    private CompressionPlan Drop()
    {
        long there = Budget.Of(Array.ConvertAll(_heads, head => head.Count));
        int latest = Read == Tokens ? Tokens : Math.Max(0, Read - _keepLatest);
        GlobalCut cut = GlobalCut.Find(KvHeads, list => _heads[list].Keys, _limit, Budget, Math.Min(Budget.Units, there));
        Parallel.For(0, KvHeads.Layers, layer =>
        {
            for (int list = KvHeads.First(layer); list < KvHeads.First(layer + 1); list++)
            {
                _heads[list].Drop(cut.End, cut.Ties[list], latest);
            }
        });

        int[] counts = Array.ConvertAll(_heads, head => head.Count);
        int[] positions = GC.AllocateUninitializedArray<int>(checked((int)TensorPrimitives.Sum<long>(Array.ConvertAll(counts, n => (long)n))));
        int start = 0;
        foreach (HeadRows head in _heads)
        {
            head.Positions.CopyTo(positions.AsSpan(start));
            start += head.Count;
        }

        RowLimit most = Budget.WithUnits(Budget.Units + (Read - Math.Min(latest, Read)) * Budget.PerToken);
        return CompressionPlan.Adopt(KvHeads, Read, counts, positions, most);
    }

    private CompressionPlan DropEqually()
    {
        int there = _heads[0].Count;
        int latest = Read == Tokens ? 0 : Math.Min(_keepLatest, there);
        int others = there - latest;
        int best = (int)Math.Min(others, _equalRows);
        int[] positions = GC.AllocateUninitializedArray<int>(checked((best + latest) * _heads.Length));
        Parallel.For(0, KvHeads.Layers, layer =>
        {
            int[] counters = new int[ScoreOrder.Digits];
            for (int list = KvHeads.First(layer); list < KvHeads.First(layer + 1); list++)
            {
                HeadRows head = _heads[list];
                (uint end, int ties) = ScoreOrder.Cut(head.Keys[..others], best, counters);
                head.Drop(end, ties, others);
                head.Positions.CopyTo(positions.AsSpan(list * (best + latest)));
                head.CloseUp();
            }
        });

        int[] counts = new int[_heads.Length];
        Array.Fill(counts, best + latest);
        return CompressionPlan.Adopt(KvHeads, there, counts, positions);
    }

    // By KV head and token of the chunk.
    private void Score(AttentionScores chunk, float[] scores)
    {
        int broken = int.MaxValue;
        LayerLoop.ForEach(KvHeads.Layers, layer =>
        {
            Span<float> written = OfLayer(layer);
            _scorer.Score(chunk, layer, written);
            if (!TensorPrimitives.IsFiniteAll<float>(written))
            {
                LayerLoop.Lower(ref broken, layer);
            }
        });
        if (broken < int.MaxValue)
        {
            ReadOnlySpan<float> layer = OfLayer(broken);
            int first = ScoreOrder.FirstNotFinite(layer).GetValueOrDefault();
            throw new PlanException(
                $"Layer {broken}, KV head {first / chunk.Tokens}, token {Read + (first % chunk.Tokens)} has {_scorer.Name} score {layer[first]}: not a finite number.");
        }

        Span<float> OfLayer(int layer) => scores.AsSpan(KvHeads.First(layer) * chunk.Tokens, KvHeads[layer] * chunk.Tokens);
    }

    // The rows of one KV head that are still there, by position.
    private sealed class HeadRows
    {
        private uint[] _keys = [];
        private int[] _positions = [];

        public int Count { get; private set; }

        public ReadOnlySpan<uint> Keys => _keys.AsSpan(0, Count);

        public ReadOnlySpan<int> Positions => _positions.AsSpan(0, Count);

        // The keys of the new rows, to be filled in.
        public Span<uint> Append(int start, int rows)
        {
            if (Count + rows > _keys.Length)
            {
                int length = Math.Max(Count + rows, (int)Math.Min(2L * _keys.Length, Array.MaxLength));
                Array.Resize(ref _keys, length);
                Array.Resize(ref _positions, length);
            }

            for (int i = 0; i < rows; i++)
            {
                _positions[Count + i] = start + i;
            }

            Count += rows;
            return _keys.AsSpan(Count - rows, rows);
        }

        // Positions become 0 to Count - 1.
        public void CloseUp()
        {
            for (int i = 0; i < Count; i++)
            {
                _positions[i] = i;
            }
        }

        // Keeps the rows before a key, the first ones equal to it, and those from a position on.
        public void Drop(uint end, int ties, int latest)
        {
            int kept = 0;
            for (int i = 0; i < Count; i++)
            {
                uint key = _keys[i];
                bool stays = key < end || _positions[i] >= latest;
                if (key == end && ties > 0)
                {
                    ties--;
                    stays = true;
                }

                _keys[kept] = key;
                _positions[kept] = _positions[i];
                kept += stays ? 1 : 0;
            }

            Count = kept;
        }
    }
}
