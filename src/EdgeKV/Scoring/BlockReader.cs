using System.Runtime.InteropServices;
using EdgeKV.Native;

namespace EdgeKV.Scoring;

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
    public override unsafe long Read(IReadOnlyList<Statistic> group, IScoreContext context, ScoreValues values, in WorkPart part)
    {
        BlockAttention statistic = group.OfType<BlockAttention>().First();
        QueryMoments[] moments = [.. group.OfType<QueryMoments>()];
        int end = context.Position;
        int first = Math.Min(statistic.First, end);
        int last = Math.Max(first, end - statistic.Last);
        int step = Step(context, statistic, last - first);
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
    private static int Step(IScoreContext context, BlockAttention statistic, int tokens)
    {
        int block = Math.Clamp(tokens, 1, statistic.Block);
        return block <= context.BatchSize
            ? context.BatchSize / block * block
            : throw new PlanException(
                $"Blocks of {statistic.Block} tokens are fed whole, and the context's batches hold {context.BatchSize}. Take a larger BatchSize or smaller blocks.");
    }

    private static void Keep(IScoreContext context, int block) => NativeErrors.ThrowIfFailed(
        NativeMethods.edgekv_blocks_keep(context.Handle, block), nameof(NativeMethods.edgekv_blocks_keep));

    /// <summary>Writes what the tokens of the last batch got to their columns of [layers, heads, context].</summary>
    private static unsafe void ReadLast(IScoreContext context, int position, int tokens, int end, float[] sums, float* data)
    {
        Models.HeadLayout layout = context.Model.Geometry.Heads;
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
