using EdgeKV.Native;

namespace EdgeKV.Scoring;

/// <summary>Feeds a part of the context again. The context's position is the part's first.</summary>
internal delegate void PartFeeder(ReadOnlySpan<int> tokens, WorkPart part);

/// <summary>What the readers that feed tokens share.</summary>
internal static class PassSupport
{
    /// <summary>Arrays of zeros for the attention over the context's tokens.</summary>
    public static ScoresHandle CreateScores(this IScoreContext context, NativeAggregates aggregates, int columns)
    {
        NativeErrors.ThrowIfFailed(
            NativeMethods.edgekv_scores_create(context.Handle, columns, aggregates, out nint scores), nameof(NativeMethods.edgekv_scores_create));
        return new ScoresHandle(scores);
    }

    /// <summary>The array of one aggregate.</summary>
    public static NativeScoreBuffer Buffer(this IScoreContext context, ScoresHandle scores, AttentionAggregate aggregate, int columns) =>
        NativeScoreBuffer.Of(scores, Flag(aggregate), (long)context.Model.Geometry.Heads.Total * columns)!;

    /// <summary>The native flags of some aggregates.</summary>
    public static NativeAggregates Flags(IEnumerable<AttentionAggregate> aggregates) =>
        aggregates.Aggregate(NativeAggregates.None, (all, aggregate) => all | Flag(aggregate));

    /// <summary>Feeds a part of the context whose attention nobody looks at.</summary>
    /// <param name="context">The context.</param>
    /// <param name="tokens">The part.</param>
    /// <param name="end">The number of tokens of the whole context: the logits of its last token are wanted again.</param>
    /// <param name="part">Who is told, and what stops it.</param>
    public static void FeedUnseen(this IScoreContext context, ReadOnlySpan<int> tokens, int end, in WorkPart part) =>
        context.Feed(tokens, context.Position + tokens.Length == end ? NativeLogits.Last : NativeLogits.None, part);

    /// <summary>Feeds task tokens with scoring on, and takes them back.</summary>
    public static void ScoreOnTop(this IScoreContext context, ScoresHandle scores, ReadOnlySpan<int> tokens, in WorkPart part)
    {
        int position = context.Position;
        context.FeedScored(scores, tokens, part);
        context.Rollback(position);
    }

    /// <summary>Takes back the end of the context and feeds it once more, part by part.</summary>
    /// <param name="context">The context.</param>
    /// <param name="start">The first token that is fed again.</param>
    /// <param name="stops">Where parts end beside the end of the context; those before the start do not count.</param>
    /// <param name="queries">Looks at the queries; null: nobody does.</param>
    /// <param name="values">Takes the moments of queries.</param>
    /// <param name="part">Who is told, and what stops it.</param>
    /// <param name="feed">Feeds a part.</param>
    public static void FeedAgain(
        this IScoreContext context, int start, IEnumerable<int> stops, QuerySums? queries, ScoreValues values, in WorkPart part, PartFeeder feed)
    {
        int position = context.Position;
        int[] tail = context.Tokens(start, position - start);
        int[] ends = [.. stops.Concat(queries?.Stops ?? []).Where(stop => stop > start).Append(position).Distinct().Order()];
        queries?.Begin();
        try
        {
            context.Rollback(start);
            foreach (int end in ends)
            {
                int from = context.Position;
                feed(
                    tail.AsSpan(from - start, end - from),
                    part.Slice((double)(from - start) / tail.Length, (double)(end - start) / tail.Length));
                queries?.Reached(end);
            }

            queries?.AddTo(values);
        }
        catch
        {
            context.Refeed(start, tail);
            throw;
        }
        finally
        {
            queries?.End();
        }
    }

    private static NativeAggregates Flag(AttentionAggregate aggregate) =>
        aggregate == AttentionAggregate.Max ? NativeAggregates.Max : NativeAggregates.Sum;
}
