using System.Diagnostics;
using EdgeKV.Compression;
using EdgeKV.Engine;
using EdgeKV.Models;
using EdgeKV.Native;
using EdgeKV.Planning;

namespace EdgeKV.Measurements.Subjects;

/// <summary>Steps of measurements and tests in a context, on the calling thread, so that EdgeKV and stock llama.cpp are fed the same.</summary>
public static unsafe class ContextSteps
{
    extension(KvContext context)
    {
        /// <summary>Feeds tokens in batches, which leaves the last one's logits; seconds.</summary>
        public double Prefill(ReadOnlySpan<int> tokens)
        {
            long start = Stopwatch.GetTimestamp();
            context.Decode(tokens);
            return Stopwatch.GetElapsedTime(start).TotalSeconds;
        }

        /// <summary>Feeds tokens one at a time, or as prompts of the batch size, and returns the logits after each.</summary>
        public Logits DecodeAll(ReadOnlySpan<int> tokens, bool stepwise = true)
        {
            int vocabulary = context.Model.VocabularySize;
            float[] all = new float[(long)tokens.Length * vocabulary];
            int step = stepwise ? 1 : context.Native.BatchSize;
            for (int i = 0; i < tokens.Length; i += step)
            {
                ReadOnlySpan<int> part = tokens.Slice(i, Math.Min(step, tokens.Length - i));
                context.Decode(part, allLogits: true);
                for (int j = 0; j < part.Length; j++)
                {
                    context.Logits(j).CopyTo(all.AsSpan((i + j) * vocabulary));
                }
            }

            return new Logits(all, vocabulary);
        }

        /// <summary>Feeds tokens as <c>DecodeAll</c> does; seconds.</summary>
        public double Time(ReadOnlySpan<int> tokens, bool stepwise = true)
        {
            long start = Stopwatch.GetTimestamp();
            int step = stepwise ? 1 : context.Native.BatchSize;
            for (int i = 0; i < tokens.Length; i += step)
            {
                // As the stock program: all logits of a prompt are computed.
                context.Decode(tokens.Slice(i, Math.Min(step, tokens.Length - i)), allLogits: true);
            }

            return Stopwatch.GetElapsedTime(start).TotalSeconds;
        }

        /// <summary>Rewrites the cache; seconds that rewriting took.</summary>
        public double Apply(CompressionPlan plan, int room = 0, int align = 0) =>
            context.ApplyAsync(plan, new CompressOptions { Room = room, Align = align }).GetAwaiter().GetResult().Applying.TotalSeconds;

        /// <summary>Rewrites the cache as arrays say that no <see cref="CompressionPlan"/> could hold.</summary>
        public void ApplyArrays(ReadOnlySpan<int> counts, ReadOnlySpan<int> positions, int room = 0, int align = 0)
        {
            using (context.Enter())
            {
                fixed (int* c = counts, p = positions)
                {
                    NativeErrors.ThrowIfFailed(
                        NativeMethods.edgekv_apply(
                            context.Native.Handle, c, (nuint)counts.Length, p, (nuint)positions.Length, (uint)room, (uint)align),
                        nameof(NativeMethods.edgekv_apply));
                }
            }
        }

        /// <summary>
        /// Feeds tokens and gathers their attention over the first positions: max and sum, [layers, heads, scored]; seconds. The tokens stay.
        /// </summary>
        /// <param name="tokens">At least one token.</param>
        /// <param name="scored">How many positions are scored.</param>
        /// <param name="bytesMax">Bytes of attention weights that may be held at one time; 0 = 64 MiB.</param>
        /// <param name="see">First and end of each range of positions that is scored over; empty: all.</param>
        public (float[] Max, float[] Sum, double Seconds) DecodeScored(
            ReadOnlySpan<int> tokens, int scored, long bytesMax = 0, ReadOnlySpan<int> see = default)
        {
            using ContextLock scope = context.Enter();
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_scores_create(context.Native.Handle, scored, NativeAggregates.Max | NativeAggregates.Sum, out nint raw),
                nameof(NativeMethods.edgekv_scores_create));
            using ScoresHandle scores = new(raw);
            if (!see.IsEmpty)
            {
                fixed (int* ranges = see)
                {
                    NativeErrors.ThrowIfFailed(
                        NativeMethods.edgekv_scores_see(scores, ranges, (nuint)see.Length / 2), nameof(NativeMethods.edgekv_scores_see));
                }
            }

            long start = Stopwatch.GetTimestamp();
            context.Native.FeedScored(scores, tokens, bytesMax, Scoring.WorkPart.Silent);
            double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            int length = context.Model.Geometry.Heads.Total * scored;
            float[] max = new ReadOnlySpan<float>(NativeMethods.edgekv_scores_data(scores, NativeAggregates.Max), length).ToArray();
            float[] sum = new ReadOnlySpan<float>(NativeMethods.edgekv_scores_data(scores, NativeAggregates.Sum), length).ToArray();
            NativeErrors.ThrowIfFailed(NativeMethods.edgekv_score_end(context.Native.Handle), nameof(NativeMethods.edgekv_score_end));
            return (max, sum, seconds);
        }

        /// <summary>Kept rows, and rows for later tokens, of every KV head.</summary>
        public (int[] Rows, int[] Room) KeptRows()
        {
            using ContextLock scope = context.Enter();
            return CacheStateReader.KeptRows(context.Native);
        }

        /// <summary>The positions that one KV head kept.</summary>
        public int[] KeptPositions(int layer, int kvHead)
        {
            using ContextLock scope = context.Enter();
            (int[] rows, _) = CacheStateReader.KeptRows(context.Native);
            return CacheStateReader.KeptPositions(context.Native, layer, kvHead, rows[context.Model.Geometry.KvHeads.First(layer) + kvHead]);
        }

        /// <summary>The rows that a compact cache kept, as a plan.</summary>
        public CompressionPlan KeptPlan()
        {
            using ContextLock scope = context.Enter();
            HeadLayout kvHeads = context.Model.Geometry.KvHeads;
            (int[] rows, _) = CacheStateReader.KeptRows(context.Native);
            int[][] positions = [.. rows.Select((count, list) => CacheStateReader.KeptPositions(context.Native, kvHeads.At(list).Layer, kvHeads.At(list).Head, count))];
            return new CompressionPlan(
                kvHeads, (int)context.Native.Get(NativeCacheKey.ContextTokens), rows, [.. positions.SelectMany(list => list)]);
        }

        /// <summary>Asks the running call, or the next one, to stop.</summary>
        public void Interrupt() => context.Native.Interrupt();

        /// <summary>Writes the cache to a file, and waits for that.</summary>
        public void Save(string path) => context.SaveAsync(path).GetAwaiter().GetResult();

        /// <summary>Loads what <c>Save</c> wrote.</summary>
        public void Load(string path) => context.LoadAsync(path).GetAwaiter().GetResult();
    }
}
