using EdgeKV.Models;
using EdgeKV.Native;

namespace EdgeKV.Scoring;

/// <summary>
/// The attention that the tokens of a task set pay to each context token, [layers, heads, tokens]: softmax over the context and the task
/// tokens up to the query, only the context's columns kept. Costs a pass over the task set; all aggregates of one task set share it.
/// </summary>
/// <param name="TaskSet">The tokens whose attention is seen.</param>
/// <param name="Aggregate">How their weights become one number.</param>
public sealed record TaskAttention(TaskSet TaskSet, AttentionAggregate Aggregate) : Statistic
{
    /// <inheritdoc/>
    public override string Name => TaskSet.Name;

    internal override StatisticReader Reader => TaskSet is WindowTaskSet ? WindowReader.Instance : TaskReader.Instance;

    /// <inheritdoc/>
    public override bool NeedsAttention => true;

    private protected override string Describe() => Aggregate == AttentionAggregate.Max ? $"max({Name})" : $"sum({Name})";
}

/// <summary>
/// Feeds a task set on top of the context with scoring on, and takes it back (KVCompose, arXiv 2509.05165, section 3). All aggregates of one task set
/// share the pass.
/// </summary>
internal sealed class TaskReader : StatisticReader
{
    // Chunks shorter than this would make a pass of many small steps.
    private const int SmallestChunk = 32;

    public static TaskReader Instance { get; } = new();

    /// <inheritdoc/>
    public override ReadingStage Stage => ReadingStage.Tasks;

    /// <inheritdoc/>
    public override object GroupOf(Statistic statistic, ScoreRequest request) => ((TaskAttention)statistic).TaskSet;

    /// <inheritdoc/>
    public override long Read(IReadOnlyList<Statistic> group, IScoreContext context, ScoreValues values, in WorkPart part)
    {
        TaskAttention[] tasks = [.. group.Cast<TaskAttention>()];
        int columns = context.Position;
        ScoresHandle scores = context.CreateScores(PassSupport.Flags(tasks.Select(task => task.Aggregate)), columns);
        try
        {
            TaskSet set = tasks[0].TaskSet;
            int[] tokens = TokensOf(set, context.Model);
            if (IsOfContext(set))
            {
                ScoreByContext(context, scores, tokens, set is RepeatTaskSet ? context.PrefixLength() : 0, part);
            }
            else
            {
                EnsureTokensFit(columns, tokens.Length, context.Limit);
                context.ScoreOnTop(scores, tokens, part);
            }

            long queries = NativeMethods.edgekv_scores_queries(scores);
            foreach (TaskAttention task in tasks)
            {
                values.Add(task, context.Buffer(scores, task.Aggregate, columns), queries);
            }

            return queries;
        }
        catch
        {
            scores.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public override void EnsureRoom(Statistic statistic, EdgeModel model, ContextToRead context)
    {
        TaskSet set = ((TaskAttention)statistic).TaskSet;
        int own = TokensOf(set, model).Length;
        if (IsOfContext(set))
        {
            _ = RoomFor(context.Tokens, own, context.Limit);
        }
        else
        {
            EnsureTokensFit(context.Tokens, own, context.Limit);
        }
    }

    // Whether the context itself is fed again, after the task set's tokens.
    private static bool IsOfContext(TaskSet set) => set is ContextTaskSet or RepeatTaskSet;

    private static int[] TokensOf(TaskSet set, EdgeModel model)
    {
        int[] tokens = set switch
        {
            ContextTaskSet => [],
            RepeatTaskSet => model.RepeatInstruction(),
            ProbeTaskSet => model.ProbeQuestion(),
            QuestionTaskSet questions => [.. questions.Questions.SelectMany(text => model.TokenizeQuestion(text))],
            TextTaskSet texts => [.. texts.Prompts.SelectMany(text => model.Tokenize(text))],
            _ => throw new ArgumentException($"Unknown task set: {set.GetType().Name}.", nameof(set)),
        };
        return tokens.Length > 0 || IsOfContext(set) ? tokens : throw new ArgumentException("The task set has no tokens.", nameof(set));
    }

    /// <summary>Feeds an instruction and the context from a token on: whole where it fits, else in chunks, each after the instruction.</summary>
    private static void ScoreByContext(IScoreContext context, ScoresHandle scores, ReadOnlySpan<int> instruction, int first, in WorkPart part)
    {
        int length = context.Position;
        int room = RoomFor(length, instruction.Length, context.Limit);
        int[] tokens = context.Tokens(0, length);
        for (int start = first; start < length;)
        {
            int count = Math.Min(room, length - start);
            ReadOnlySpan<int> chunk = tokens.AsSpan(start, count);
            context.ScoreOnTop(
                scores,
                instruction.IsEmpty ? chunk : [.. instruction, .. chunk],
                part.Slice((double)start / length, (double)(start + count) / length));
            start += count;
        }
    }

    private static int RoomFor(int length, int instruction, int limit)
    {
        int room = limit - length - instruction;
        return room >= Math.Min(length, SmallestChunk)
            ? room
            : throw new ContextWindowException(
                $"The context of {length} tokens leaves {Math.Max(0, room)} of {limit} positions to score it by itself; {SmallestChunk} are the least. "
                + "Take a larger context, a shorter document, or the question as task set.",
                length + instruction + SmallestChunk,
                limit);
    }

    private static void EnsureTokensFit(int context, int tokens, int limit)
    {
        long length = (long)context + tokens;
        if (length > limit)
        {
            throw new ContextWindowException(
                $"The context with its task set would end at {length} tokens; there are {limit} positions. Take a larger context or a shorter document.",
                (int)Math.Min(length, int.MaxValue),
                limit);
        }
    }
}
