using System.Buffers;
using EdgeKV.Models;
using EdgeKV.Numerics;
using EdgeKV.Planning;
using EdgeKV.Policies.Scorers;
using EdgeKV.Policies.Selection;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Allocators;

/// <summary>
/// ChunkKV, arXiv 2502.00299: whole chunks of neighbouring tokens stay or go, by any scorer's scores. All KV heads of a layer keep the same
/// positions.
/// </summary>
/// <remarks>
/// <para>
/// A chunk's score is the mean over its tokens of the sum over the layer's KV heads; the last chunk may be short. Chunks that hold protected
/// rows rank above all others. Ties go to the earlier chunk.
/// </para>
/// <para>
/// By ratio the best max(1, keep(chunks)) chunks stay, so rows are only near keep(tokens), as in the reference (NVIDIA/kvpress,
/// chunkkv_press); by rows or bytes as many whole chunks as fit. A context shorter than one chunk is left to the scorer alone.
/// </para>
/// </remarks>
public sealed record ChunkKV : ScorerWrapper
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "chunk";

    /// <summary>ChunkKV over SnapKV.</summary>
    public ChunkKV()
        : base(new SnapKV())
    {
    }

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>Tokens of a chunk, 1 and up. Default: 20.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1.</exception>
    public int Length
    {
        get;
        init => field = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A chunk has 1 token and up.");
    }

    = 20;

    private protected override long MostRows(HeadLayout kvHeads, int tokens, RowCost cost)
    {
        int rows = Budget.EqualRows(kvHeads, tokens, cost);
        return tokens < Length ? rows : Chunks(tokens, rows);
    }

    private protected override CompressionPlan Share(AttentionScores scores, RowCost cost)
    {
        int rows = EqualRows(scores, cost);
        using var ranked = RankedRows.Of(ScorerFor(scores, cost), scores, rows);
        int[] counts = new int[ranked.Lists];
        if (scores.Tokens < Length)
        {
            counts.AsSpan().Fill(rows);
        }
        else
        {
            int kept = Chunks(scores.Tokens, rows);
            ranked.ForEachLayer((layer, counters) => counts.AsSpan(scores.KvHeads.First(layer), scores.KvHeads[layer]).Fill(
                KeepChunks(ranked, scores.KvHeads, layer, scores.Tokens, kept, counters)));
        }

        // Whole chunks may pass keep(tokens), a bound given in rows or bytes they may not.
        return ranked.Plan(counts, Budget.Ratio is null ? Budget.RaggedRows(scores.KvHeads, scores.Tokens, cost) : null);
    }

    private int Chunks(int tokens, int rows)
    {
        int all = (tokens - 1) / Length + 1;
        if (Budget.Ratio is { } ratio)
        {
            return Math.Max(1, (int)CompressionRatio.Keep(all, ratio));
        }

        int fit = rows == tokens ? all : rows / Length;
        return fit > 0
            ? fit
            : throw new PlanException($"{Name}: a budget of {rows} rows per KV head holds no chunk of {Length} tokens; give more, or a smaller {nameof(Length)}.");
    }

    // Ranks the rows of a layer's best chunks above all others; returns how many there are of each KV head.
    private int KeepChunks(RankedRows ranked, HeadLayout heads, int layer, int tokens, int kept, int[] counters)
    {
        int chunks = (tokens - 1) / Length + 1;
        uint[] keys = ArrayPool<uint>.Shared.Rent(chunks);
        try
        {
            for (int chunk = 0; chunk < chunks; chunk++)
            {
                keys[chunk] = Key(ranked, heads, layer, chunk * Length, Math.Min(Length, tokens - chunk * Length));
            }

            (uint end, int ties) = ScoreOrder.Cut(keys.AsSpan(0, chunks), kept, counters);
            int rows = 0;
            for (int chunk = 0; chunk < chunks; chunk++)
            {
                bool tied = keys[chunk] == end && ties > 0;
                bool stays = keys[chunk] < end || tied;
                int length = Math.Min(Length, tokens - chunk * Length);
                ties -= tied ? 1 : 0;
                rows += stays ? length : 0;
                for (int list = heads.First(layer); list < heads.First(layer + 1); list++)
                {
                    ranked.Keys(list).Slice(chunk * Length, length).Fill(stays ? 0 : uint.MaxValue);
                }
            }

            return rows;
        }
        finally
        {
            ArrayPool<uint>.Shared.Return(keys);
        }
    }

    private static uint Key(RankedRows ranked, HeadLayout heads, int layer, int start, int length)
    {
        uint best = uint.MaxValue;
        float sum = 0;
        for (int token = start; token < start + length; token++)
        {
            float all = 0;
            for (int list = heads.First(layer); list < heads.First(layer + 1); list++)
            {
                uint key = ranked.Keys(list)[token];
                best = Math.Min(best, key);
                all += key < ScoreOrder.FirstKey ? 0 : ScoreOrder.Score(key);
            }

            sum += all;
        }

        return best < ScoreOrder.FirstKey ? best : ScoreOrder.Key(sum / length);
    }
}
