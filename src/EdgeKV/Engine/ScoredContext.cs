using EdgeKV.Models;
using EdgeKV.Models.Chat;
using EdgeKV.Native;
using EdgeKV.Scoring;
using LLama.Native;

namespace EdgeKV.Engine;

/// <summary>A context as the readers of statistics see it.</summary>
/// <param name="context">The context, whose lock is held.</param>
/// <param name="limit">Positions that the cache can hold.</param>
/// <param name="scoreMemory">Bytes of attention weights that a pass may hold at one time; 0 = 64 MiB.</param>
internal sealed class ScoredContext(NativeContext context, int limit, long scoreMemory) : IScoreContext
{
    // Below every score that a profile gives, and finite, as plans need it, also where scores are added up.
    private const float MissingRow = -1e30f;

    public EdgeModel Model => context.Model;

    public ChatFrame Chat => context.Chat;

    public SafeLLamaContextHandle Handle => context.Handle;

    public int Position => context.Position;

    public int Limit => limit;

    public int BatchSize => context.BatchSize;

    public long ScoreMemory => scoreMemory;

    public bool HasScoreMap => context.Get(NativeCacheKey.Learns) != 0;

    public void MarkMissingRows(NativeScoreBuffer scores)
    {
        if (!context.IsCompact)
        {
            return;
        }

        int tokens = Position;
        int contextTokens = (int)context.Get(NativeCacheKey.ContextTokens);
        (int[] rows, _) = CacheStateReader.KeptRows(context);
        int list = 0;
        for (int layer = 0; layer < Model.Geometry.Layers.Count; layer++)
        {
            for (int head = 0; head < Model.Geometry.Layers[layer].KvHeads; head++, list++)
            {
                int[] kept = CacheStateReader.KeptPositions(context, layer, head, rows[list]);
                scores.FillExcept((long)list * tokens, contextTokens, kept, MissingRow);
            }
        }
    }

    public int[] KnownTokens() => context.Tokens(0, Position);

    public int[] Tokens(int first, int count)
    {
        int[] tokens = context.Tokens(first, count);
        int unknown = Array.IndexOf(tokens, CacheState.UnknownToken);
        if (unknown >= 0)
        {
            int end = unknown;
            while (end < count && tokens[end] == CacheState.UnknownToken)
            {
                end++;
            }

            throw new SessionStateException(
                $"Cannot read the context again: the tokens at positions {first + unknown} to {first + end - 1} are not known. They were decoded before EdgeKV was attached, given as "
                + "embeddings, loaded from a state, or given other positions. Attach before the first token is decoded, or take a policy that does not read the document again.");
        }

        return tokens;
    }

    public void Feed(ReadOnlySpan<int> tokens, NativeLogits logits, in WorkPart part) => context.Feed(tokens, logits, part);

    public void FeedScored(ScoresHandle scores, ReadOnlySpan<int> tokens, in WorkPart part) => context.FeedScored(scores, tokens, scoreMemory, part);

    public void Rollback(int position) => context.Rollback(position);

    public void Refeed(int start, ReadOnlySpan<int> tail)
    {
        if (context.Handle.IsClosed)
        {
            return;
        }

        try
        {
            context.Rollback(start);
            context.Feed(tail, NativeLogits.Last, WorkPart.Silent);
        }
        catch (EdgeKVException e)
        {
            context.Fail($"the end of the context was lost when scoring it failed: {e.Message}");
        }
    }
}
