using System.Runtime.InteropServices;
using EdgeKV.Native;

namespace EdgeKV.Scoring;

/// <summary>
/// As <see cref="WindowAttention"/>, each query's weights times its position, summed, [layers, heads, tokens]: later queries count more (FINCH, arXiv
/// 2408.00167). The queries are taken back and fed once more, one by one.
/// </summary>
public sealed record LateWindowAttention : Statistic
{
    /// <summary>The sum over a window.</summary>
    /// <param name="queries">Length of the window, 1 and up; a window longer than the context is the whole context.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="queries"/> is below 1.</exception>
    public LateWindowAttention(int queries)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(queries, 1);
        Queries = queries;
    }

    /// <summary>Length of the window in queries, 1 and up.</summary>
    public int Queries { get; }

    /// <inheritdoc/>
    public override string Name => "window";

    internal override StatisticReader Reader => LateWindowReader.Instance;

    /// <inheritdoc/>
    public override bool NeedsAttention => true;

    private protected override string Describe() => $"late window({Queries})";
}

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
