using System.Buffers;
using EdgeKV.Numerics;
using EdgeKV.Planning;
using EdgeKV.Policies.Selection;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Allocators;

/// <summary>
/// FastGen, arXiv 2310.01801: every KV head keeps the smallest of a few sets of rows that holds most of the attention of the context's own queries: special
/// tokens, punctuation too, the best rows too, the last rows too, or all. Feeds the whole context once more. Ragged.
/// </summary>
/// <remarks>
/// <para>
/// The sets, each with those before it and all with the first 4 positions: special tokens; punctuation; of the others the ceil(0.3 * tokens) of highest
/// mean attention, sum over i >= j of a[i, j] / (tokens - j); the last (int)(0.3 * tokens) positions; all. A KV head's attention is the mean over
/// its attention heads. A set's recovery is the mean over all queries of their attention to its rows; the first set whose recovery reaches
/// the limit is kept. Ties go to the earlier position.
/// </para>
/// <para>
/// So AnswerDotAI/cold-compress does it, to which the authors point, but for one thing: there a query recovers what lies in its own last rows,
/// here what lies in those that stay.
/// </para>
/// </remarks>
public sealed record FastGen : RowPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "fastgen";

    private const byte SpecialSet = 0;
    private const byte PunctuationSet = 1;
    private const byte BestSet = 2;
    private const byte RecentSet = 3;
    private const byte AllSet = 4;

    /// <summary>A policy whose recovery decides, not a budget.</summary>
    public FastGen()
        : base(ratio: 0)
    {
    }

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>Which of the context's tokens are special and which are punctuation. Default: null, as the model's tokenizer says (<see cref="TokenClasses"/>).</summary>
    public TokenMasks? Tokens { get; init; }

    /// <summary>The share of the attention that the kept rows must have had, 0 to 1. Default: 0.9.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public double Recovery
    {
        get;
        init => field = value is >= 0 and <= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A recovery is a share of the attention: 0 to 1.");
    }

    = 0.9;

    /// <summary>Best rows by attention, as a share of all, rounded up, 0 to 1. Default: 0.3.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public double Best
    {
        get;
        init => field = value is >= 0 and <= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "The best rows are a share of all: 0 to 1.");
    }

    = 0.3;

    /// <summary>Last rows, as a share of all, rounded down, 0 to 1. Default: 0.3.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public double Recent
    {
        get;
        init => field = value is >= 0 and <= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "The last rows are a share of all: 0 to 1.");
    }

    = 0.3;

    /// <summary>First positions that every set has, 0 and up. Default: 4.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Sinks
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "First rows are 0 and up.");
    }

    = 4;

    /// <inheritdoc/>
    public override ScoreRequest Request => Tokens is null
        ? new ScoreRequest(WindowAttention.All, new TokenClasses())
        : new ScoreRequest(WindowAttention.All);

    private protected override bool IsRagged => true;

    private protected override CompressionPlan Share(AttentionScores scores, RowCost cost)
    {
        TokenMasks masks = Tokens ?? scores.TokenMasks!;
        if (masks.Tokens != scores.Tokens)
        {
            throw new PlanException($"{Name} has masks of {masks.Tokens} tokens, but the context has {scores.Tokens}: give those of this context.");
        }

        bool[][] kept = new bool[scores.KvHeads.Total][];
        LayerLoop.ForEach(scores.Layers, () => new Work(scores.Tokens), (layer, work) =>
        {
            for (int head = 0; head < scores.KvHeads[layer]; head++)
            {
                kept[scores.KvHeads.First(layer) + head] = Keep(scores, masks, layer, head, work);
            }
        });

        int[] counts = [.. kept.Select(rows => rows.AsSpan().Count(true))];
        RowLimit budget = Budget.RaggedRows(scores.KvHeads, scores.Tokens, cost);
        int[] positions = GC.AllocateUninitializedArray<int>(StreamingRows.CountWithin(counts, budget, Name));
        int next = 0;
        foreach (bool[] rows in kept)
        {
            for (int token = 0; token < rows.Length; token++)
            {
                if (rows[token])
                {
                    positions[next++] = token;
                }
            }
        }

        return CompressionPlan.Adopt(scores.KvHeads, scores.Tokens, counts, positions, budget);
    }

    // The rows of the first set that recovers enough.
    private bool[] Keep(AttentionScores scores, TokenMasks masks, int layer, int head, Work work)
    {
        Span<float> seen = work.Seen.AsSpan(0, scores.Tokens);
        scores.CopyGroupMean(WindowAttention.All, layer, head, seen);
        if (ScoreOrder.FirstNotFinite(seen) is { } token)
        {
            throw new PlanException($"Layer {layer}, KV head {head}, token {token} has {WindowAttention.All} {seen[token]}: not a finite number.");
        }

        Span<byte> sets = work.Sets.AsSpan(0, scores.Tokens);
        FindSets(seen, masks, sets, work);
        Span<double> recovered = stackalloc double[AllSet + 1];
        recovered.Clear();
        for (int i = 0; i < sets.Length; i++)
        {
            recovered[sets[i]] += seen[i];
        }

        double enough = Recovery * scores.Queries(WindowAttention.All);
        byte chosen = SpecialSet;
        for (double sum = recovered[chosen]; sum < enough && chosen < AllSet; sum += recovered[chosen])
        {
            chosen++;
        }

        bool[] rows = new bool[sets.Length];
        for (int i = 0; i < rows.Length; i++)
        {
            rows[i] = sets[i] <= chosen;
        }

        return rows;
    }

    // Writes the first set that each row is in.
    private void FindSets(ReadOnlySpan<float> seen, TokenMasks masks, Span<byte> sets, Work work)
    {
        Span<uint> keys = work.Keys.AsSpan(0, sets.Length);
        int left = 0;
        for (int i = 0; i < sets.Length; i++)
        {
            sets[i] = i < Sinks || masks.Special[i] ? SpecialSet : masks.Punctuation[i] ? PunctuationSet : AllSet;
            left += sets[i] == AllSet ? 1 : 0;
            keys[i] = sets[i] == AllSet ? ScoreOrder.Key(seen[i] / (sets.Length - i)) : uint.MaxValue;
        }

        int best = (int)Math.Min(Math.Ceiling(Best * sets.Length), left);
        int recent = sets.Length - (int)(Recent * sets.Length);
        (uint end, int ties) = ScoreOrder.Cut(keys, best, work.Counters);
        for (int i = 0; i < sets.Length; i++)
        {
            bool tied = keys[i] == end && ties > 0;
            ties -= tied ? 1 : 0;
            if (keys[i] < end || tied)
            {
                sets[i] = BestSet;
            }
            else if (sets[i] == AllSet && i >= recent)
            {
                sets[i] = RecentSet;
            }
        }
    }

    // One thread's memory.
    private sealed class Work(int tokens) : IDisposable
    {
        public float[] Seen { get; } = ArrayPool<float>.Shared.Rent(tokens);

        public byte[] Sets { get; } = ArrayPool<byte>.Shared.Rent(tokens);

        public uint[] Keys { get; } = ArrayPool<uint>.Shared.Rent(tokens);

        public int[] Counters { get; } = ArrayPool<int>.Shared.Rent(ScoreOrder.Digits);

        public void Dispose()
        {
            ArrayPool<float>.Shared.Return(Seen);
            ArrayPool<byte>.Shared.Return(Sets);
            ArrayPool<uint>.Shared.Return(Keys);
            ArrayPool<int>.Shared.Return(Counters);
        }
    }
}
