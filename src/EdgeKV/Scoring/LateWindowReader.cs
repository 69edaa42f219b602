using System.Runtime.InteropServices;
using EdgeKV.Native;

namespace EdgeKV.Scoring;

/// <summary>Takes back the end of the context and feeds it once more token by token, with scoring on (FINCH, arXiv 2408.00167).</summary>
internal sealed class LateWindowReader : StatisticReader
{
    public static LateWindowReader Instance { get; } = new();

    /// <inheritdoc/>
    public override ReadingStage Stage => ReadingStage.LateWindows;

    /// <inheritdoc/>
    public override unsafe long Read(IReadOnlyList<Statistic> group, IScoreContext context, ScoreValues values, in WorkPart part)
    {
        var statistic = (LateWindowAttention)group[0];
        int end = context.Position;
        int queries = Math.Min(statistic.Queries, end);
        long length = (long)context.Model.Geometry.Heads.Total * end;
        NativeScoreBuffer late = NativeScoreBuffer.Allocate(length, out float* data);
        try
        {
            NativeMemory.Clear(data, (nuint)length * sizeof(float));
            using ScoresHandle scores = context.CreateScores(NativeAggregates.Sum, end);
            NativeScoreBuffer seen = context.Buffer(scores, AttentionAggregate.Sum, end);
            context.FeedAgain(end - queries, Enumerable.Range(end - queries, queries), queries: null, values, part, (tokens, step) =>
            {
                context.FeedScored(scores, tokens, step);
                if (context.Position < end)
                {
                    late.Join(seen, AttentionAggregate.Sum);
                }
            });

            // A query is among what was seen as many times as queries come after it, before the last sum.
            late.SubtractFrom(seen, end - 1);
            values.Add(statistic, late, queries);
            return queries;
        }
        catch
        {
            late.Dispose();
            throw;
        }
    }
}
