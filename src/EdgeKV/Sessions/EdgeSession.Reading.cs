using System.Diagnostics;
using EdgeKV.Compression;
using EdgeKV.Native;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Scorers;
using EdgeKV.Reading;
using EdgeKV.Scoring;

namespace EdgeKV.Sessions;

public sealed partial class EdgeSession
{
    /// <summary>
    /// Reads a document, the beginning of a user's turn in the model's chat template, and compresses it meanwhile: it is fed in chunks, and
    /// after each one the rows of all layers and KV heads that score lowest go, down to the budget of the whole document. Later chunks attend
    /// to what is left, so the full cache is never there.
    /// </summary>
    /// <remarks>
    /// Needs learned scores (<see cref="SessionOptions.Profile"/>), which depend on nothing that comes later. The cache takes the budget's
    /// rows, the latest tokens' and one chunk's; while rows are moved, the old and the new buffers. The window alone bounds the document, not
    /// <see cref="SessionOptions.ContextSize"/>, and with <see cref="ReadingOptions.Rerotate"/> not even that. A document of one chunk is compressed as by
    /// <see cref="CompressAsync(ICompressionPolicy, CompressOptions, IProgress{CompressionProgress}, CancellationToken)"/>.
    /// </remarks>
    /// <param name="document">The document, read as it is: a question follows its last character, so let it end with a blank line.</param>
    /// <param name="policy">Ranks rows by learned scores.</param>
    /// <param name="options">How it is carried out; null for the defaults.</param>
    /// <param name="progress">Gets the share done, 0 to 1.</param>
    /// <param name="cancellationToken">Stops the work; the session is then as empty as before and may be used again.</param>
    /// <exception cref="PlanException">The policy needs more than learned scores, or its budget cannot be met. The session is empty.</exception>
    /// <exception cref="ContextWindowException">The document, or what has to fit of it, is longer than the model's window.</exception>
    /// <exception cref="UnsupportedModelException">
    /// The model has no chat template that llama.cpp knows, or its cache cannot be made compact.
    /// </exception>
    /// <exception cref="OutOfKvMemoryException">Not enough memory for the cache. The session is empty.</exception>
    /// <exception cref="SessionStateException">The session has no profile, has read something already, or work is running.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The session or the model has been disposed.</exception>
    public Task<CompressionReport> CompressWhileReadingAsync(
        string document,
        GlobalTopK policy,
        ReadingOptions? options = null,
        IProgress<double>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(document);
        ArgumentNullException.ThrowIfNull(policy);
        options ??= new ReadingOptions();
        options.Validate();
        return RunAsync(
            "read", () => Read(Model.TokenizeDocument(document), policy, options, progress, cancellationToken), cancellationToken);
    }

    /// <summary>
    /// Reads tokens as they are, with no chat template around them, and compresses them meanwhile: see
    /// <see cref="CompressWhileReadingAsync(string, GlobalTopK, ReadingOptions, IProgress{double}, CancellationToken)"/>.
    /// </summary>
    /// <param name="tokens">At least one token.</param>
    /// <param name="policy">Ranks rows by learned scores.</param>
    /// <param name="options">How it is carried out; null for the defaults.</param>
    /// <param name="progress">Gets the share done, 0 to 1.</param>
    /// <param name="cancellationToken">Stops the work; the session is then as empty as before and may be used again.</param>
    /// <exception cref="PlanException">The policy needs more than learned scores, or its budget cannot be met. The session is empty.</exception>
    /// <exception cref="ContextWindowException">More tokens, or more that have to fit, than the model's window.</exception>
    /// <exception cref="UnsupportedModelException">The model's cache cannot be made compact.</exception>
    /// <exception cref="OutOfKvMemoryException">Not enough memory for the cache. The session is empty.</exception>
    /// <exception cref="SessionStateException">The session has no profile, has read something already, or work is running.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The session or the model has been disposed.</exception>
    public Task<CompressionReport> CompressWhileReadingAsync(
        ReadOnlyMemory<int> tokens,
        GlobalTopK policy,
        ReadingOptions? options = null,
        IProgress<double>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(policy);
        options ??= new ReadingOptions();
        options.Validate();
        return RunAsync("read", () => Read(tokens.Span, policy, options, progress, cancellationToken), cancellationToken);
    }

    private CompressionReport Read(
        ReadOnlySpan<int> tokens,
        GlobalTopK policy,
        ReadingOptions options,
        IProgress<double>? progress,
        CancellationToken cancellation)
    {
        ThrowIfNothingToRead(tokens);
        Model.EnsureSupported();
        ReadingPlanner.ThrowIfNeedsAPass(policy);
        ThrowIfNoProfile();
        int used = tokens.Length;
        if (options.Rerotate)
        {
            used = ThrowIfPartsAreBeyondTheWindow(tokens.Length, policy, options);
        }
        else
        {
            ThrowIfBeyondTheWindow(tokens);
        }

        // As many positions as a full cache would have had: models that choose by them are then the same model.
        int positions = Math.Max(FullSize(used), used);
        try
        {
            DropContext();
            CreateContext(Math.Min(options.ChunkTokens, tokens.Length), positions);
            if (options.Rerotate)
            {
                // Said before the document is read.
                _ = ReadRotary(0);
            }

            return ReadChunks(tokens, policy, options, progress, cancellation);
        }
        catch
        {
            // Rows that are gone cannot be put back, so this cache is of no more use.
            DropContext();
            _tokens.Clear();
            _prefillTime = default;
            _fault = null;
            throw;
        }
    }

    /// <returns>The most positions that are used at one time.</returns>
    private int ThrowIfPartsAreBeyondTheWindow(int tokens, GlobalTopK policy, ReadingOptions options)
    {
        // A budget in bytes is met later, when a row's cost is known; it cannot be more rows than tokens.
        int kept = policy.Budget.Bytes is { } bytes
            ? (int)Math.Min(tokens, bytes / (Model.KvMemory.BytesPerRow(_options.CacheType) * Model.Layers * Model.KvHeads))
            : policy.Budget.EqualRows(Model.Layers, Model.KvHeads, tokens);
        long used = Math.Min(tokens, (long)kept + options.KeepLatest + options.ChunkTokens);
        return used <= Model.Window
            ? (int)used
            : throw new ContextWindowException(
                $"{kept} of the document's {tokens} tokens shall stay, which with {options.KeepLatest} latest ones and a chunk of {options.ChunkTokens} take {used} positions; "
                + $"the model's window holds {Model.Window}. Keep fewer, or read in smaller chunks.",
                (int)Math.Min(used, int.MaxValue),
                Model.Window);
    }

    private CompressionReport ReadChunks(
        ReadOnlySpan<int> tokens,
        GlobalTopK policy,
        ReadingOptions options,
        IProgress<double>? progress,
        CancellationToken cancellation)
    {
        CompressOptions last = new() { Room = options.Room, Align = options.Align };
        ReadingPlanner planner = new(policy, Model.Layers, Model.KvHeads, tokens.Length, options.KeepLatest, Cost(last), options.Rerotate);
        TimeSpan reading = default;
        TimeSpan scoring = default;
        TimeSpan planning = default;
        TimeSpan applying = default;
        long peak = CacheValue(NativeCacheKey.Bytes);
        CompressionPlan plan;
        do
        {
            int start = planner.Read;
            int position = Position;
            int left = tokens.Length - start;
            int count = Math.Min(options.ChunkTokens, left);
            long began = Stopwatch.GetTimestamp();
            Feed(
                tokens.Slice(start, count),
                count == left ? NativeLogits.Last : NativeLogits.None,
                progress,
                (double)start / tokens.Length,
                (double)(start + count) / tokens.Length,
                cancellation);
            peak = Math.Max(peak, CacheValue(NativeCacheKey.Bytes));
            Lap(ref reading, ref began);

            using (AttentionScores chunk = new(
                Model.Layers, Model.Heads, Model.KvHeads, count, [new(new Learned(), new StatisticValues(ReadLearned(position, count)))]))
            {
                Lap(ref scoring, ref began);
                plan = planner.Next(chunk);
                Lap(ref planning, ref began);
            }

            // Room for the next chunk, so that the cache need not grow while it is fed.
            Rewrite(plan, count == left ? last : last with { Room = Math.Min(options.ChunkTokens, left - count) }, cancellation);
            _compact = true;
            if (options.Rerotate)
            {
                CloseUp();
            }

            peak = Math.Max(peak, CacheValue(NativeCacheKey.Bytes));
            Lap(ref applying, ref began);
        }
        while (planner.Read < tokens.Length);

        _prefillTime = reading;
        int[] rowsBefore = new int[Model.Layers * Model.KvHeads];
        Array.Fill(rowsBefore, tokens.Length);
        long bytesBefore = Model.KvMemory.Bytes(_options.CacheType, tokens.Length);
        Planned planned = new(policy.Name)
        {
            RatioAsked = RatioAsked(policy),
            Scores = ScoreCost.Of(policy.Request, passTokens: 0, scoring, Profile, Model),
            Scoring = scoring,
            Planning = planning,
        };
        return Report(plan, planned, rowsBefore, bytesBefore, applying) with
        {
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
}
