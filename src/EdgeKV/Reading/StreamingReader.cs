using System.Diagnostics;
using EdgeKV.Compression;
using EdgeKV.Engine;
using EdgeKV.Models;
using EdgeKV.Native;
using EdgeKV.Planning;
using EdgeKV.Policies.Allocators;
using EdgeKV.Scoring;

namespace EdgeKV.Reading;

/// <summary>
/// Reads tokens into an empty context and drops rows meanwhile: after each chunk the rows of all layers and KV heads that score lowest go. Runs on the
/// context's thread, inside its lock.
/// </summary>
internal sealed class StreamingReader(KvContext context, GlobalRanking policy, ReadingOptions options)
{
    private readonly NativeContext _native = context.Native;

    /// <summary>What reading took.</summary>
    public TimeSpan ReadingTime { get; private set; }

    /// <summary>The most positions that are used at one time while tokens are read with <see cref="ReadingOptions.Rerotate"/>.</summary>
    /// <exception cref="ContextWindowException">They are more than the model's window.</exception>
    public static int PositionsUsed(EdgeModel model, KvCacheType type, int tokens, GlobalRanking policy, ReadingOptions options)
    {
        // A budget in bytes is met later, when a row's cost is known; it cannot be more rows than tokens.
        int kept = policy.Budget.Bytes is { } bytes
            ? (int)Math.Min(tokens, bytes / model.KvMemory.BytesPerToken(type))
            : policy.Budget.EqualRows(model.Geometry.KvHeads, tokens);
        long used = Math.Min(tokens, (long)kept + options.KeepLatest + options.ChunkTokens);
        return used <= model.Window
            ? (int)used
            : throw new ContextWindowException(
                $"{kept} of the document's {tokens} tokens shall stay, which with {options.KeepLatest} latest ones and a chunk of {options.ChunkTokens} take {used} positions; "
                + $"the model's window holds {model.Window}. Keep fewer, or read in smaller chunks.",
                (int)Math.Min(used, int.MaxValue),
                model.Window);
    }

    /// <summary>Reads and compresses.</summary>
    /// <param name="tokens">At least one token.</param>
    /// <param name="progress">Gets the share done, 0 to 1.</param>
    /// <param name="cancellation">Stops the work; the context is empty then.</param>
    public CompressionReport Read(ReadOnlySpan<int> tokens, IProgress<double>? progress, CancellationToken cancellation)
    {
        try
        {
            if (options.Rerotate)
            {
                // Models that cannot are refused before the document is read.
                Rewriting.EnsureRotates(_native);
            }

            return ReadChunks(tokens, new WorkPart(progress, 0, 1, cancellation));
        }
        catch
        {
            // Rows that are gone cannot be put back.
            if (!_native.Handle.IsClosed)
            {
                _native.Clear();
            }

            throw;
        }
    }

    private CompressionReport ReadChunks(ReadOnlySpan<int> tokens, in WorkPart part)
    {
        CompressOptions last = new() { Room = options.Room, Align = options.Align };
        EdgeModel model = context.Model;
        ReadingPlanner planner = new(
            policy, model.Geometry.KvHeads, tokens.Length, options.KeepLatest, RowCosts.Of(_native, last), options.Rerotate);
        TimeSpan reading = default;
        TimeSpan scoring = default;
        TimeSpan planning = default;
        TimeSpan applying = default;
        long peak = _native.Get(NativeCacheKey.Bytes);
        CompressionPlan plan;
        do
        {
            int start = planner.Read;
            int position = _native.Position;
            int left = tokens.Length - start;
            int count = Math.Min(options.ChunkTokens, left);
            long began = Stopwatch.GetTimestamp();
            _native.Feed(
                tokens.Slice(start, count),
                count == left ? NativeLogits.Last : NativeLogits.None,
                part.Slice((double)start / tokens.Length, (double)(start + count) / tokens.Length));
            peak = Math.Max(peak, _native.Get(NativeCacheKey.Bytes));
            Lap(ref reading, ref began);

            using (AttentionScores chunk = ReadScores(position, count))
            {
                chunk.ThrowIfNone();
                Lap(ref scoring, ref began);
                plan = planner.Next(chunk);
                Lap(ref planning, ref began);
            }

            if (count == left)
            {
                plan.ThrowIfEmpty();
            }

            // Room for the next chunk, so that the cache need not grow while it is fed.
            CompressOptions now = count == left ? last : last with { Room = Math.Min(options.ChunkTokens, left - count) };
            Rewriting.Apply(_native, plan, now, part.Cancellation);
            if (options.Rerotate)
            {
                Rewriting.Rerotate(_native);
            }

            peak = Math.Max(peak, _native.Get(NativeCacheKey.Bytes));
            Lap(ref applying, ref began);
        }
        while (planner.Read < tokens.Length);

        ReadingTime = reading;
        int[] rowsBefore = new int[model.Geometry.KvHeads.Total];
        Array.Fill(rowsBefore, tokens.Length);
        Planned planned = new(policy.Name)
        {
            RatioAsked = Compressor.RatioAsked(policy),
            Scores = ScoreCost.Of(policy.Request, passTokens: 0, scoring, context.Profile, model),
            Prefill = reading,
            Scoring = scoring,
            Planning = planning,
        };
        CompressionReport report = Reports.Of(_native, plan, planned, rowsBefore, bytesBefore: 0, applying);
        return report with
        {
            BytesBefore = report.TotalRowBytesBefore,
            PeakBytes = peak,
            Rerotated = options.Rerotate,
            ContextTokens = tokens.Length,
            RatioAchieved = 1 - plan.TotalRows / ((double)rowsBefore.Length * tokens.Length),
        };

        static void Lap(ref TimeSpan sum, ref long began)
        {
            long now = Stopwatch.GetTimestamp();
            sum += Stopwatch.GetElapsedTime(began, now);
            began = now;
        }
    }

    private AttentionScores ReadScores(int first, int count)
    {
        EdgeModel model = context.Model;
        NativeScoreBuffer buffer = LearnedReader.Read(_native.Handle, model, first, count);
        return new AttentionScores(model.Geometry, count, [new(new Learned(), new StatisticValues(buffer))]);
    }
}
