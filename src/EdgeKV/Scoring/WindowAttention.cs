using EdgeKV.Models;
using EdgeKV.Native;

namespace EdgeKV.Scoring;

/// <summary>
/// The attention that the context's own last queries pay to each of its tokens, summed, [layers, heads, tokens]: every query's weights over
/// all that it sees, itself included, make 1. The queries are taken back and fed once more; windows of several lengths share the longest one's.
/// </summary>
public sealed record WindowAttention : Statistic
{
    /// <summary>The sum over a window.</summary>
    /// <param name="queries">Length of the window, 1 and up; a window longer than the context is the whole context.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="queries"/> is below 1.</exception>
    public WindowAttention(int queries)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(queries, 1);
        Queries = queries;
    }

    /// <summary>The sum over all queries of the context, however long it is: the whole context is fed once more.</summary>
    public static WindowAttention All { get; } = new(int.MaxValue);

    /// <summary>Length of the window in queries, 1 and up; <see cref="int.MaxValue"/>: all. What was summed is <see cref="AttentionScores.Queries"/>.</summary>
    public int Queries { get; }

    /// <inheritdoc/>
    public override string Name => "window";

    internal override StatisticReader Reader => WindowReader.Instance;

    /// <inheritdoc/>
    public override bool NeedsAttention => true;

    private protected override string Describe() => Queries == int.MaxValue ? "window(all)" : $"window({Queries})";
}

/// <summary>
/// Takes back the end of the context and feeds it once more: the longest window with scoring on, in segments (what each window has beyond the
/// next shorter one), and before it what the query moments need. A window's aggregate is that of its segments together. One pass serves all windows
/// and query moments of a request.
/// </summary>
internal sealed class WindowReader : StatisticReader
{
    private static readonly object Group = new();

    public static WindowReader Instance { get; } = new();

    /// <inheritdoc/>
    public override ReadingStage Stage => ReadingStage.Again;

    /// <inheritdoc/>
    public override object GroupOf(Statistic statistic, ScoreRequest request) =>
        statistic is QueryMoments && BlockReader.TakesMoments(request) is { } blocks ? blocks : Group;

    /// <inheritdoc/>
    public override void EnsureRoom(Statistic statistic, EdgeModel model, ContextToRead context)
    {
        if (statistic is QueryMoments moments)
        {
            QuerySums.EnsureLeft(moments, context.Tokens);
        }
    }

    /// <inheritdoc/>
    public override long Read(IReadOnlyList<Statistic> group, IScoreContext context, ScoreValues values, in WorkPart part)
    {
        Window[] windows = [.. group.Where(statistic => statistic is not QueryMoments).Select(Window.Of)];
        QueryMoments[] moments = [.. group.OfType<QueryMoments>()];
        int end = context.Position;
        int[] lengths = [.. windows.Select(window => Math.Min(window.Length, end)).Distinct().OrderDescending()];
        List<ScoresHandle> segments = [];
        try
        {
            foreach (int length in lengths)
            {
                segments.Add(context.CreateScores(
                    PassSupport.Flags(windows.Where(window => Math.Min(window.Length, end) >= length).Select(window => window.Aggregate)), end));
            }

            QuerySums? queries = moments.Length > 0 ? new QuerySums(context, moments) : null;
            int longest = end - lengths.FirstOrDefault();
            int start = Math.Min(longest, queries?.Start ?? longest);
            int[] starts = [.. lengths.Select(length => end - length)];
            context.FeedAgain(start, starts, queries, values, part, (tokens, step) =>
            {
                int segment = Array.FindLastIndex(starts, first => first <= context.Position);
                if (segment < 0)
                {
                    context.FeedUnseen(tokens, end, step);
                }
                else
                {
                    context.FeedScored(segments[segment], tokens, step);
                }
            });

            AddWindows(context, windows, lengths, segments, end, values);
            return end - start;
        }
        catch
        {
            foreach (ScoresHandle segment in segments)
            {
                segment.Dispose();
            }

            throw;
        }
    }

    private static void AddWindows(
        IScoreContext context, Window[] windows, int[] lengths, List<ScoresHandle> segments, int end, ScoreValues values)
    {
        // From the shortest window on, each one's segment takes in the window before.
        for (int i = lengths.Length - 1; i >= 0; i--)
        {
            foreach (AttentionAggregate aggregate in Enum.GetValues<AttentionAggregate>())
            {
                Window[] held = [.. windows.Where(window => window.Aggregate == aggregate && Math.Min(window.Length, end) >= lengths[i])];
                if (held.Length == 0)
                {
                    continue;
                }

                NativeScoreBuffer buffer = context.Buffer(segments[i], aggregate, end);
                if (i + 1 < lengths.Length)
                {
                    buffer.Join(context.Buffer(segments[i + 1], aggregate, end), aggregate);
                }

                foreach (Window window in held.Where(window => Math.Min(window.Length, end) == lengths[i]))
                {
                    values.Add(window.Statistic, buffer, lengths[i]);
                }
            }
        }
    }

    // A statistic over the last tokens of the context, as a window of so many.
    private readonly record struct Window(Statistic Statistic, int Length, AttentionAggregate Aggregate)
    {
        public static Window Of(Statistic statistic) => statistic switch
        {
            WindowAttention window => new Window(window, window.Queries, AttentionAggregate.Sum),
            TaskAttention { TaskSet: WindowTaskSet window } task => new Window(task, window.Tokens, task.Aggregate),
            _ => throw new ArgumentException($"{statistic} is not over a window.", nameof(statistic)),
        };
    }
}
