using System.Runtime.InteropServices;
using EdgeKV.Native;
using EdgeKV.Scoring;

namespace EdgeKV.Sessions;

public sealed partial class EdgeSession
{
    /// <summary>
    /// Takes back the context from the first block on and feeds it once more in batches of whole blocks, whose attention is read after each.
    /// </summary>
    /// <param name="statistic">The blocks.</param>
    /// <param name="moments">Moments of queries from one token on that are taken meanwhile, 0 and up.</param>
    /// <param name="values">Takes what was seen.</param>
    /// <param name="progress">Gets the share done; null: nobody asks.</param>
    /// <param name="cancellation">Stops the work.</param>
    /// <returns>Tokens fed.</returns>
    private unsafe long RunBlocks(
        BlockAttention statistic,
        List<QueryMoments> moments,
        Dictionary<Statistic, StatisticValues> values,
        IProgress<double>? progress,
        CancellationToken cancellation)
    {
        int context = Position;
        int first = Math.Min(statistic.First, context);
        int end = Math.Max(first, context - statistic.Last);
        int step = BlockStep(statistic, end - first);
        QueryPass? queries = moments.Count > 0 ? new QueryPass(this, moments) : null;
        int start = Math.Min(first < end ? first : context, queries?.Start ?? context);

        long length = (long)Model.Layers * Model.Heads * context;
        NativeScoreBuffer buffer = NativeScoreBuffer.Allocate(length, out float* data);
        try
        {
            NativeMemory.Clear(data, (nuint)length * sizeof(float));
            if (start < context)
            {
                float[] sums = new float[Model.Heads * step];
                IEnumerable<int> batches = Enumerable.Range(0, (end - first + step - 1) / step).Select(batch => first + batch * step);
                KeepBlocks(statistic.Block);
                FeedAgain(start, batches.Append(end), queries, values, (tokens, from, to) =>
                {
                    int position = Position;
                    FeedUnseen(tokens, context, progress, from, to, cancellation);
                    if (position >= first && position < end)
                    {
                        ReadBlocks(position, tokens.Length, context, sums, data);
                    }
                });
            }

            values.Add(statistic, new StatisticValues(buffer, end - first));
            return context - start;
        }
        catch
        {
            buffer.Dispose();
            throw;
        }
        finally
        {
            EndBlocks();
        }
    }

    /// <summary>Tokens that are fed at one time: as many blocks as a batch holds.</summary>
    private int BlockStep(BlockAttention statistic, int tokens)
    {
        int batch = (int)CacheValue(NativeCacheKey.BatchSize);
        int block = Math.Clamp(tokens, 1, statistic.Block);
        return block <= batch
            ? batch / block * block
            : throw new PlanException(
                $"Blocks of {statistic.Block} tokens are fed whole, and the session's batches hold {batch}. Take a larger {nameof(SessionOptions.BatchSize)} or "
                + "smaller blocks.");
    }

    private void KeepBlocks(int block)
    {
        lock (_native)
        {
            NativeErrors.ThrowIfFailed(NativeMethods.edgekv_blocks_keep(Live, block), nameof(NativeMethods.edgekv_blocks_keep));
        }
    }

    /// <summary>Should giving the memory back fail, the next step says so.</summary>
    private void EndBlocks()
    {
        lock (_native)
        {
            if (!_disposed)
            {
                _ = NativeMethods.edgekv_blocks_keep(Live, 0);
            }
        }
    }

    /// <summary>Writes what the tokens of the last batch got to their columns of [layers, heads, context].</summary>
    private unsafe void ReadBlocks(int position, int tokens, int context, float[] sums, float* data)
    {
        for (int layer = 0; layer < Model.Layers; layer++)
        {
            Span<float> read = sums.AsSpan(0, Model.Heads * tokens);
            lock (_native)
            {
                fixed (float* pointer = read)
                {
                    NativeErrors.ThrowIfFailed(
                        NativeMethods.edgekv_blocks(Live, layer, pointer, (nuint)read.Length), nameof(NativeMethods.edgekv_blocks));
                }
            }

            for (int head = 0; head < Model.Heads; head++)
            {
                float* row = data + ((long)layer * Model.Heads + head) * context;
                read.Slice(head * tokens, tokens).CopyTo(new Span<float>(row + position, tokens));
            }
        }
    }
}
