using System.Runtime.InteropServices;
using EdgeKV.Models;
using EdgeKV.Native;

namespace EdgeKV.Scoring;

/// <summary>
/// The attention that each context token gets inside blocks of the context without causality, [layers, heads, tokens]: a query sees every key of its
/// block, later ones too, and no other; softmax over the plain products of the two, position encoding applied, without the model's scale; the sum over the
/// block's queries, so that the sums of a block add up to its length (Compactor, arXiv 2507.08143). Tokens outside of all blocks have 0.
/// </summary>
/// <remarks>
/// The tokens of the blocks are taken back and fed once more in batches of whole blocks, so a block must fit the session's batch. Costs that pass, which
/// <see cref="QueryMoments"/> share where they leave out equally many tokens, and block * headSize multiplications per attention head and token
/// beside it; memory of some 12 bytes per attention head, token of a batch and token of a block, in one layer at a time. Needs a model that rotates
/// queries and keys last (RoPE).
/// </remarks>
public sealed record BlockAttention : Statistic
{
    /// <summary>Tokens of a block that the reference takes (NVIDIA/kvpress, non_causal_attention_press).</summary>
    public const int DefaultBlock = 256;

    /// <summary>The sums inside blocks of some length.</summary>
    /// <param name="block">Tokens of a block, 1 and up; the last one may be shorter.</param>
    /// <param name="first">First positions that belong to no block, 0 and up: the first block follows them.</param>
    /// <param name="last">Last positions that belong to no block, 0 and up.</param>
    /// <exception cref="ArgumentOutOfRangeException">A value is out of its range.</exception>
    public BlockAttention(int block = DefaultBlock, int first = 0, int last = 0)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(block, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfNegative(last);
        Block = block;
        First = first;
        Last = last;
    }

    /// <summary>Tokens of a block, 1 and up; the last one may be shorter.</summary>
    public int Block { get; }

    /// <summary>First positions that belong to no block.</summary>
    public int First { get; }

    /// <summary>Last positions that belong to no block.</summary>
    public int Last { get; }

    /// <inheritdoc/>
    public override string Name => "blocks";

    internal override StatisticReader Reader => BlockReader.Instance;

    /// <inheritdoc/>
    public override bool NeedsAttention => true;

    private protected override string Describe() => $"blocks({Block})";
}

/// <summary>
/// Takes back the context from the first block on and feeds it once more in batches of whole blocks, whose attention is read after each
/// (Compactor, arXiv 2507.08143). Query moments of one first token are taken in the same pass.
/// </summary>
internal sealed class BlockReader : StatisticReader
{
    public static BlockReader Instance { get; } = new();

    /// <inheritdoc/>
    public override ReadingStage Stage => ReadingStage.Blocks;

    /// <summary>The blocks whose pass takes the query moments of a request as well; null when none does.</summary>
    public static BlockAttention? TakesMoments(ScoreRequest request)
    {
        int firsts = request.Statistics.OfType<QueryMoments>().DistinctBy(moment => moment.First).Count();
        return firsts == 1 ? request.Statistics.OfType<BlockAttention>().FirstOrDefault() : null;
    }

    /// <inheritdoc/>
    public override void EnsureRoom(Statistic statistic, EdgeModel model, ContextToRead context)
    {
        if (statistic is BlockAttention blocks)
        {
            int first = Math.Min(blocks.First, context.Tokens);
            _ = Step(context.BatchSize, blocks, Math.Max(0, context.Tokens - blocks.Last - first));
        }
        else
        {
            WindowReader.Instance.EnsureRoom(statistic, model, context);
        }
    }

    /// <inheritdoc/>
    public override unsafe long Read(IReadOnlyList<Statistic> group, IScoreContext context, ScoreValues values, in WorkPart part)
    {
        BlockAttention statistic = group.OfType<BlockAttention>().First();
        QueryMoments[] moments = [.. group.OfType<QueryMoments>()];
        int end = context.Position;
        int first = Math.Min(statistic.First, end);
        int last = Math.Max(first, end - statistic.Last);
        int step = Step(context.BatchSize, statistic, last - first);
        QuerySums? queries = moments.Length > 0 ? new QuerySums(context, moments) : null;
        int start = Math.Min(first < last ? first : end, queries?.Start ?? end);

        long length = (long)context.Model.Geometry.Heads.Total * end;
        NativeScoreBuffer buffer = NativeScoreBuffer.Allocate(length, out float* data);
        try
        {
            NativeMemory.Clear(data, (nuint)length * sizeof(float));
            if (start < end)
            {
                float[] sums = new float[context.Model.Geometry.Heads.Most * step];
                nint target = (nint)data;
                IEnumerable<int> batches = Enumerable.Range(0, (last - first + step - 1) / step).Select(batch => first + batch * step);
                Keep(context, statistic.Block);
                context.FeedAgain(start, batches.Append(last), queries, values, part, (tokens, share) =>
                {
                    int position = context.Position;
                    context.FeedUnseen(tokens, end, share);
                    if (position >= first && position < last)
                    {
                        ReadLast(context, position, tokens.Length, end, sums, (float*)target);
                    }
                });
            }

            values.Add(statistic, buffer, last - first);
            return end - start;
        }
        catch
        {
            buffer.Dispose();
            throw;
        }
        finally
        {
            // Should giving the memory back fail, the next call says so.
            _ = NativeMethods.edgekv_blocks_keep(context.Handle, 0);
        }
    }

    /// <summary>Tokens that are fed at one time: as many blocks as a batch holds.</summary>
    private static int Step(int batch, BlockAttention statistic, int tokens)
    {
        int block = Math.Clamp(tokens, 1, statistic.Block);
        return block <= batch
            ? batch / block * block
            : throw new PlanException($"Blocks of {statistic.Block} tokens are fed whole, and the context's batches hold {batch}. Take smaller blocks, or a larger BatchSize.");
    }

    private static void Keep(IScoreContext context, int block) => NativeErrors.ThrowIfFailed(
        NativeMethods.edgekv_blocks_keep(context.Handle, block), nameof(NativeMethods.edgekv_blocks_keep));

    /// <summary>Writes what the tokens of the last batch got to their columns of [layers, heads, context].</summary>
    private static unsafe void ReadLast(IScoreContext context, int position, int tokens, int end, float[] sums, float* data)
    {
        HeadLayout layout = context.Model.Geometry.Heads;
        for (int layer = 0; layer < layout.Layers; layer++)
        {
            int heads = layout[layer];
            Span<float> read = sums.AsSpan(0, heads * tokens);
            fixed (float* pointer = read)
            {
                NativeErrors.ThrowIfFailed(
                    NativeMethods.edgekv_blocks(context.Handle, layer, pointer, (nuint)read.Length), nameof(NativeMethods.edgekv_blocks));
            }

            for (int head = 0; head < heads; head++)
            {
                float* row = data + (long)(layout.First(layer) + head) * end;
                read.Slice(head * tokens, tokens).CopyTo(new Span<float>(row + position, tokens));
            }
        }
    }
}
