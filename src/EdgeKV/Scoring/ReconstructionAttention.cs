using EdgeKV.Models;
using EdgeKV.Native;

namespace EdgeKV.Scoring;

/// <summary>
/// The largest attention that each context token gets while the model repeats the context chunk by chunk, [layers, heads, tokens], 0 to 1
/// (KVzip, arXiv 2505.23416, section 3). Costs a pass over the context, and needs room for one chunk and its instruction at a time.
/// </summary>
/// <remarks>
/// The context after the template's prefix (<see cref="AttentionScores.PrefixTokens"/>) is cut into chunks. For each, these are fed on top of the
/// full cache and taken back: "\n\nRepeat the previous context exactly.", for later chunks "\n\nRepeat the part of the previous context exactly,
/// starting with" and the last 8 tokens of the chunk before; the chat template's turn change to the model; the chunk. The softmax is over the
/// first 4 tokens that stand before the chunk, the chunk, and the tokens fed up to the query: weights of long contexts stay comparable. A token
/// counts in its own chunk only; tokens of the prefix have 0. Wording and sizes are those of NVIDIA/kvpress, kvzip_press.
/// </remarks>
public sealed record ReconstructionAttention : Statistic
{
    /// <summary>Tokens of a chunk that the reference takes.</summary>
    public const int DefaultChunk = 2048;

    /// <summary>The maxima over chunks of one length.</summary>
    /// <param name="chunk">Tokens of a chunk, 1 and up; the last one may be shorter.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="chunk"/> is below 1.</exception>
    public ReconstructionAttention(int chunk = DefaultChunk)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(chunk, 1);
        Chunk = chunk;
    }

    /// <summary>Tokens of a chunk, 1 and up; the last one may be shorter.</summary>
    public int Chunk { get; }

    /// <inheritdoc/>
    public override string Name => "reconstruction";

    internal override StatisticReader Reader => ReconstructionReader.Instance;

    /// <inheritdoc/>
    public override bool NeedsAttention => true;

    private protected override string Describe() => $"reconstruction({Chunk})";
}

/// <summary>Feeds the chunks of a reconstruction, each after its instruction, with scoring on, and takes each back (KVzip, arXiv 2505.23416, section 3).</summary>
internal sealed class ReconstructionReader : StatisticReader
{
    // KVzip's softmax keeps the attention sinks, and a later chunk's instruction says how it begins (kvzip_press).
    private const int Sinks = 4;
    private const int Lead = 8;

    public static ReconstructionReader Instance { get; } = new();

    /// <inheritdoc/>
    public override ReadingStage Stage => ReadingStage.Reconstruction;

    /// <inheritdoc/>
    public override long Read(IReadOnlyList<Statistic> group, IScoreContext context, ScoreValues values, in WorkPart part)
    {
        var statistic = (ReconstructionAttention)group[0];
        int end = context.Position;
        int[] tokens = context.Tokens(0, end);
        int prefix = context.PrefixLength();
        EnsureRoom(statistic, context.Model, new ContextToRead(end, prefix, context.Limit, context.BatchSize));
        ScoresHandle scores = context.CreateScores(NativeAggregates.Max, end);
        try
        {
            NativeScoreBuffer buffer = context.Buffer(scores, AttentionAggregate.Max, end);
            for (int start = prefix, length; start < end; start += length)
            {
                length = Math.Min(statistic.Chunk, end - start);
                int sinks = Math.Min(Sinks, start);
                See(scores, sinks > 0 ? [0, sinks, start, start + length] : [start, start + length]);
                float[] before = buffer.FirstColumns(end, sinks);
                context.ScoreOnTop(
                    scores,
                    [.. Instruction(context, statistic, tokens, prefix, start), .. tokens.AsSpan(start, length)],
                    part.Slice((double)(start - prefix) / (end - prefix), (double)(start + length - prefix) / (end - prefix)));

                // The sinks are seen for the softmax alone.
                buffer.SetFirstColumns(end, sinks, before);
            }

            long queries = NativeMethods.edgekv_scores_queries(scores);
            values.Add(statistic, buffer, queries);
            return queries;
        }
        catch
        {
            scores.Dispose();
            throw;
        }
    }

    /// <summary>Checks the first chunk and the second, whose instruction is longer. Later ones are no longer than that.</summary>
    public override void EnsureRoom(Statistic statistic, EdgeModel model, ContextToRead context)
    {
        (int tokens, int prefix, int limit, _) = context;
        int chunk = ((ReconstructionAttention)statistic).Chunk;

        // An instruction is as long with any tokens before the chunk as with these.
        ReadOnlySpan<int> any = stackalloc int[Lead];
        for (long start = prefix; start < tokens && start <= (long)prefix + chunk; start += chunk)
        {
            int lead = start == prefix ? 0 : Math.Min(Lead, chunk);
            long end = (long)tokens + model.ReconstructionInstruction(any[..lead]).Length + Math.Min(chunk, tokens - start);
            if (end > limit)
            {
                throw new ContextWindowException(
                    $"To repeat the context of {tokens} tokens in chunks of {chunk} takes {end} positions; there are {limit}. "
                    + "Take a larger context, a smaller chunk, or a shorter document.",
                    (int)Math.Min(end, int.MaxValue),
                    limit);
            }
        }
    }

    private static int[] Instruction(IScoreContext context, ReconstructionAttention statistic, int[] tokens, int prefix, int start)
    {
        int lead = start == prefix ? 0 : Math.Min(Lead, statistic.Chunk);
        return context.Model.ReconstructionInstruction(tokens.AsSpan(start - lead, lead));
    }

    /// <summary>Says which positions of the context later passes are scored over.</summary>
    /// <param name="scores">The scores.</param>
    /// <param name="ranges">First and end of each, ascending and apart.</param>
    private static unsafe void See(ScoresHandle scores, ReadOnlySpan<int> ranges)
    {
        fixed (int* pointer = ranges)
        {
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_scores_see(scores, pointer, (nuint)ranges.Length / 2), nameof(NativeMethods.edgekv_scores_see));
        }
    }
}
