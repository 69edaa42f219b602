using System.Runtime.InteropServices;
using EdgeKV.Compression;
using EdgeKV.Native;
using EdgeKV.Scoring;

namespace EdgeKV.Sessions;

public sealed partial class EdgeSession
{
    // Chunks shorter than this would make a pass of many small steps.
    private const int SmallestChunk = 32;

    // KVzip's softmax keeps the attention sinks, and a later chunk's instruction says how it begins (kvzip_press).
    private const int ReconstructionSinks = 4;
    private const int ReconstructionLead = 8;

    /// <summary>
    /// Sees what is asked for of everything that the session has read. The tokens of a task set are fed on top of the cache and taken back
    /// (KVCompose, arXiv 2509.05165, section 3), once for all aggregates of it; a reconstruction is a pass for each length of its chunks; one pass
    /// serves all windows and query moments, one each kind of blocks; norms, learned scores and what is made of cached rows alone need none.
    /// </summary>
    /// <remarks>
    /// The context as its own task set needs as many positions again as the context has. Where the cache holds fewer it is fed in the largest
    /// chunks that fit, each taken back before the next. A window is taken back and fed once more with scoring on: a few tokens.
    /// Query moments take back and feed all tokens that count, and so do blocks, in batches of their own: what is fed again may differ from what was there in
    /// its last bits. Memory: 4 bytes for each layer, head and context token of every statistic.
    /// </remarks>
    /// <param name="request">The statistics.</param>
    /// <param name="progress">Gets the share done, 0 to 1.</param>
    /// <param name="cancellationToken">Stops the work; the session is as before.</param>
    /// <returns>Scores in native memory; dispose them.</returns>
    /// <exception cref="SessionStateException">Nothing has been read, the cache is compact, or work is running.</exception>
    /// <exception cref="ContextWindowException">The task tokens, or a chunk of the reconstruction, do not fit on top of the context.</exception>
    /// <exception cref="PlanException">A statistic leaves every token out, its blocks do not fit the session's batch, or its directions are another model's.</exception>
    /// <exception cref="UnsupportedModelException">The model is of a kind that cannot be scored.</exception>
    /// <exception cref="OutOfKvMemoryException">Not enough memory.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public Task<AttentionScores> ScoreAsync(
        ScoreRequest request,
        IProgress<double>? progress = null,
        CancellationToken cancellationToken = default) => ScoreAsync(request, new CompressOptions(), progress, cancellationToken);

    /// <inheritdoc cref="ScoreAsync(ScoreRequest, IProgress{double}, CancellationToken)"/>
    /// <param name="request">The statistics.</param>
    /// <param name="options">Its ScoreMemory bounds the pass.</param>
    /// <param name="progress">Gets the share done, 0 to 1.</param>
    /// <param name="cancellationToken">Stops the work; the session is as before.</param>
    public Task<AttentionScores> ScoreAsync(
        ScoreRequest request,
        CompressOptions options,
        IProgress<double>? progress,
        CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        return RunAsync("score", () => Score(request, options.ScoreMemory, progress, cancellationToken), cancellationToken);
    }

    private AttentionScores Score(ScoreRequest request, long scoreMemory, IProgress<double>? progress, CancellationToken cancellation)
    {
        ThrowIfEmptySession("score");
        Model.EnsureSupported();
        if (request.NeedsFullCache && _compact && CacheValue(NativeCacheKey.Rows) > 0)
        {
            throw new SessionStateException(
                "Cannot score: the cache is compact, and rows that are gone have no attention. Score before compressing.");
        }

        Statistic[] made = [.. request.Statistics.Where(statistic => statistic.IsMadeOfRows)];
        var seen = new ScoreRequest(request.Statistics.Except(made).Concat(made.SelectMany(statistic => statistic.MadeOf)));
        AttentionScores scores = See(seen, scoreMemory, progress, cancellation);
        try
        {
            foreach (Statistic statistic in made)
            {
                scores.Add(statistic, new StatisticValues(ReadLayers(statistic, scores, cancellation)));
            }

            scores.Keep(request);
            return scores;
        }
        catch
        {
            scores.Dispose();
            throw;
        }
    }

    /// <summary>All statistics that are not made of cached rows.</summary>
    private AttentionScores See(ScoreRequest request, long scoreMemory, IProgress<double>? progress, CancellationToken cancellation)
    {
        Dictionary<Statistic, StatisticValues> values = [];
        try
        {
            foreach (Statistic statistic in request.Statistics.Where(statistic => !statistic.NeedsPass && statistic is not TokenClasses))
            {
                values.Add(statistic, new StatisticValues(Read(statistic)));
            }

            long fed = request.NeedsPass ? RunPasses(request, values, (ulong)scoreMemory, progress, cancellation) : 0;
            return new AttentionScores(Model.Layers, Model.Heads, Model.KvHeads, Position, values)
            {
                PassTokens = fed,
                PrefixTokens = PrefixLength(),
                TokenMasks = request.Statistics.Any(statistic => statistic is TokenClasses) ? Model.MasksOf(CollectionsMarshal.AsSpan(_tokens)) : null,
            };
        }
        catch
        {
            foreach (StatisticValues read in values.Values)
            {
                read.Buffer.Dispose();
            }

            throw;
        }
    }

    /// <summary>What the prefill or the cache gives without feeding anything.</summary>
    private NativeScoreBuffer Read(Statistic statistic) => statistic switch
    {
        Learned => ReadLearned(0, Position),
        KeyNorms => ReadNorms(NativeNorm.Keys),
        ValueNorms => ReadNorms(NativeNorm.Values),
        OutputNorms norms => ReadOutputNorms(norms.Kind),
        _ => throw Unknown(statistic),
    };

    private static ArgumentException Unknown(Statistic statistic) => new($"The session cannot read the statistic {statistic}.", nameof(statistic));

    /// <summary>
    /// One pass for each task set, reconstruction, kind of blocks and late window, and one for all windows and query moments together. Moments of one first token are
    /// taken in the pass of the first blocks. Leaves the cache as it was.
    /// </summary>
    /// <returns>Tokens fed.</returns>
    private long RunPasses(
        ScoreRequest request,
        Dictionary<Statistic, StatisticValues> values,
        ulong scoreMemory,
        IProgress<double>? progress,
        CancellationToken cancellation)
    {
        List<Window> windows = [];
        List<TaskAttention> tasks = [];
        List<ReconstructionAttention> reconstructions = [];
        List<QueryMoments> moments = [];
        List<BlockAttention> blocks = [];
        List<LateWindowAttention> lateWindows = [];
        foreach (Statistic statistic in request.Statistics.Where(statistic => statistic.NeedsPass))
        {
            switch (statistic)
            {
                case WindowAttention window:
                    windows.Add(new Window(window, window.Queries, AttentionAggregate.Sum));
                    break;
                case TaskAttention { TaskSet: WindowTaskSet window } task:
                    windows.Add(new Window(task, window.Tokens, task.Aggregate));
                    break;
                case TaskAttention task:
                    tasks.Add(task);
                    break;
                case ReconstructionAttention reconstruction:
                    reconstructions.Add(reconstruction);
                    break;
                case QueryMoments queries:
                    moments.Add(queries);
                    break;
                case BlockAttention block:
                    blocks.Add(block);
                    break;
                case LateWindowAttention window:
                    lateWindows.Add(window);
                    break;
                default:
                    throw Unknown(statistic);
            }
        }

        IGrouping<TaskSet, TaskAttention>[] sets = [.. tasks.GroupBy(task => task.TaskSet)];
        List<QueryMoments> beside = blocks.Count > 0 && moments.DistinctBy(moment => moment.First).Count() == 1 ? moments : [];
        moments = beside.Count > 0 ? [] : moments;
        bool feedsAgain = windows.Count > 0 || moments.Count > 0;
        int passes = sets.Length + reconstructions.Count + blocks.Count + lateWindows.Count + (feedsAgain ? 1 : 0);
        int pass = 0;
        long fed = 0;
        try
        {
            foreach (IGrouping<TaskSet, TaskAttention> set in sets)
            {
                fed += RunTasks(set.Key, [.. set], values, scoreMemory, PassProgress.Of(progress, pass++, passes), cancellation);
            }

            foreach (ReconstructionAttention reconstruction in reconstructions)
            {
                fed += RunReconstruction(reconstruction, values, scoreMemory, PassProgress.Of(progress, pass++, passes), cancellation);
            }

            foreach (BlockAttention block in blocks)
            {
                fed += RunBlocks(block, beside, values, PassProgress.Of(progress, pass++, passes), cancellation);
                beside = [];
            }

            foreach (LateWindowAttention window in lateWindows)
            {
                fed += RunLateWindow(window, values, scoreMemory, PassProgress.Of(progress, pass++, passes), cancellation);
            }

            return feedsAgain
                ? fed + RunAgain(windows, moments, values, scoreMemory, PassProgress.Of(progress, pass, passes), cancellation)
                : fed;
        }
        finally
        {
            EndScoring();
        }
    }

    /// <summary>Feeds a task set with scoring on, and takes it back.</summary>
    /// <returns>Tokens fed.</returns>
    private long RunTasks(
        TaskSet taskSet,
        IReadOnlyList<TaskAttention> statistics,
        Dictionary<Statistic, StatisticValues> values,
        ulong scoreMemory,
        IProgress<double>? progress,
        CancellationToken cancellation)
    {
        ScoresHandle scores = CreateScores(Aggregates(statistics.Select(statistic => statistic.Aggregate)));
        try
        {
            switch (taskSet)
            {
                case ContextTaskSet:
                    ScoreByContext(scores, default, 0, scoreMemory, progress, cancellation);
                    break;
                case RepeatTaskSet:
                    ScoreByContext(
                        scores,
                        Model.RepeatInstruction(),
                        PrefixLength(),
                        scoreMemory,
                        progress,
                        cancellation);
                    break;
                case ProbeTaskSet:
                    ScoreByTokens(scores, Model.ProbeQuestion(), scoreMemory, progress, cancellation);
                    break;
                case QuestionTaskSet questions:
                    ScoreByTokens(
                        scores, [.. questions.Questions.SelectMany(text => Model.TokenizeQuestion(text))], scoreMemory, progress, cancellation);
                    break;
                case TextTaskSet texts:
                    ScoreByTokens(scores, [.. texts.Prompts.SelectMany(text => Model.Tokenize(text))], scoreMemory, progress, cancellation);
                    break;
                default:
                    throw new ArgumentException($"Unknown task set: {taskSet.GetType().Name}.", nameof(taskSet));
            }

            long queries = NativeMethods.edgekv_scores_queries(scores);
            foreach (TaskAttention statistic in statistics)
            {
                values.Add(statistic, new StatisticValues(Buffer(scores, statistic.Aggregate), queries));
            }

            return queries;
        }
        catch
        {
            scores.Dispose();
            throw;
        }
    }

    /// <summary>Feeds the chunks of a reconstruction, each after its instruction, with scoring on, and takes each back.</summary>
    /// <returns>Tokens fed.</returns>
    private long RunReconstruction(
        ReconstructionAttention statistic,
        Dictionary<Statistic, StatisticValues> values,
        ulong scoreMemory,
        IProgress<double>? progress,
        CancellationToken cancellation)
    {
        int context = Position;
        int prefix = PrefixLength();
        EnsureReconstructionFits(statistic, prefix);
        ScoresHandle scores = CreateScores(NativeAggregates.Max);
        try
        {
            NativeScoreBuffer buffer = Buffer(scores, AttentionAggregate.Max);
            for (int start = prefix, length; start < context; start += length)
            {
                length = Math.Min(statistic.Chunk, context - start);
                int sinks = Math.Min(ReconstructionSinks, start);
                See(scores, sinks > 0 ? [0, sinks, start, start + length] : [start, start + length]);
                float[] before = buffer.FirstColumns(context, sinks);
                ScoreOnTop(
                    scores,
                    [.. ChunkInstruction(statistic, prefix, start), .. CollectionsMarshal.AsSpan(_tokens).Slice(start, length)],
                    scoreMemory,
                    progress,
                    (double)(start - prefix) / (context - prefix),
                    (double)(start + length - prefix) / (context - prefix),
                    cancellation);

                // They are there for the softmax alone.
                buffer.SetFirstColumns(context, sinks, before);
            }

            long queries = NativeMethods.edgekv_scores_queries(scores);
            values.Add(statistic, new StatisticValues(buffer, queries));
            return queries;
        }
        catch
        {
            scores.Dispose();
            throw;
        }
    }

    /// <summary>Checked before anything is fed: the first chunk, and the second, whose instruction is longer; later ones are no longer than that.</summary>
    private void EnsureReconstructionFits(ReconstructionAttention statistic, int prefix)
    {
        int context = Position;
        for (long start = prefix; start < context && start <= (long)prefix + statistic.Chunk; start += statistic.Chunk)
        {
            long end = (long)context + ChunkInstruction(statistic, prefix, (int)start).Length + Math.Min(statistic.Chunk, context - start);
            if (end > Limit)
            {
                throw new ContextWindowException(
                    $"To repeat the context of {context} tokens in chunks of {statistic.Chunk} takes {end} positions; there are {Limit}. "
                    + "Take a larger context, a smaller chunk, or a shorter document.",
                    (int)Math.Min(end, int.MaxValue),
                    Limit);
            }
        }
    }

    private int[] ChunkInstruction(ReconstructionAttention statistic, int prefix, int start)
    {
        int lead = start == prefix ? 0 : Math.Min(ReconstructionLead, statistic.Chunk);
        return Model.ReconstructionInstruction(CollectionsMarshal.AsSpan(_tokens).Slice(start - lead, lead));
    }

    private int PrefixLength() => Model.OpeningLength(CollectionsMarshal.AsSpan(_tokens));

    /// <summary>Says which positions of the context later passes are scored over.</summary>
    /// <param name="scores">The scores.</param>
    /// <param name="ranges">First and end of each, ascending and apart.</param>
    private unsafe void See(ScoresHandle scores, ReadOnlySpan<int> ranges)
    {
        lock (_native)
        {
            fixed (int* pointer = ranges)
            {
                NativeErrors.ThrowIfFailed(
                    NativeMethods.edgekv_scores_see(scores, pointer, (nuint)ranges.Length / 2), nameof(NativeMethods.edgekv_scores_see));
            }
        }
    }

    /// <summary>
    /// Takes back the end of the context and feeds it once more: the longest window with scoring on, in segments, what each window has beyond the
    /// next shorter one, and what comes before it for its queries. A window's aggregate is that of its segments together.
    /// </summary>
    /// <returns>Tokens fed.</returns>
    private long RunAgain(
        List<Window> windows,
        List<QueryMoments> moments,
        Dictionary<Statistic, StatisticValues> values,
        ulong scoreMemory,
        IProgress<double>? progress,
        CancellationToken cancellation)
    {
        int context = Position;
        int[] lengths = [.. windows.Select(window => Math.Min(window.Length, context)).Distinct().OrderDescending()];
        List<ScoresHandle> segments = [];
        try
        {
            foreach (int length in lengths)
            {
                segments.Add(CreateScores(Aggregates(
                    windows.Where(window => Math.Min(window.Length, context) >= length).Select(window => window.Aggregate))));
            }

            QueryPass? queries = moments.Count > 0 ? new QueryPass(this, moments) : null;
            int longest = context - lengths.FirstOrDefault();
            int start = Math.Min(longest, queries?.Start ?? longest);
            int[] starts = [.. lengths.Select(length => context - length)];
            FeedAgain(start, starts, queries, values, (tokens, from, to) =>
            {
                int segment = Array.FindLastIndex(starts, first => first <= Position);
                if (segment < 0)
                {
                    FeedUnseen(tokens, context, progress, from, to, cancellation);
                    return;
                }

                FeedScored(segments[segment], tokens, scoreMemory, progress, from, to, cancellation);
                _tokens.AddRange(tokens);
            });

            // From the shortest window on, each one's segment takes in the window before.
            for (int i = lengths.Length - 1; i >= 0; i--)
            {
                foreach (AttentionAggregate aggregate in Enum.GetValues<AttentionAggregate>())
                {
                    Window[] held = [.. windows.Where(window => window.Aggregate == aggregate && Math.Min(window.Length, context) >= lengths[i])];
                    if (held.Length == 0)
                    {
                        continue;
                    }

                    NativeScoreBuffer buffer = Buffer(segments[i], aggregate);
                    if (i + 1 < lengths.Length)
                    {
                        buffer.Join(Buffer(segments[i + 1], aggregate), aggregate);
                    }

                    foreach (Window window in held.Where(window => Math.Min(window.Length, context) == lengths[i]))
                    {
                        values.Add(window.Statistic, new StatisticValues(buffer, lengths[i]));
                    }
                }
            }

            return context - start;
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

    /// <summary>Takes back the end of the context and feeds it once more token by token, with scoring on.</summary>
    /// <returns>Tokens fed.</returns>
    private unsafe long RunLateWindow(
        LateWindowAttention statistic,
        Dictionary<Statistic, StatisticValues> values,
        ulong scoreMemory,
        IProgress<double>? progress,
        CancellationToken cancellation)
    {
        int context = Position;
        int queries = Math.Min(statistic.Queries, context);
        long length = (long)Model.Layers * Model.Heads * context;
        NativeScoreBuffer late = NativeScoreBuffer.Allocate(length, out float* data);
        try
        {
            NativeMemory.Clear(data, (nuint)length * sizeof(float));
            using ScoresHandle scores = CreateScores(NativeAggregates.Sum);
            NativeScoreBuffer seen = Buffer(scores, AttentionAggregate.Sum);
            FeedAgain(context - queries, Enumerable.Range(context - queries, queries), queries: null, values, (tokens, from, to) =>
            {
                FeedScored(scores, tokens, scoreMemory, progress, from, to, cancellation);
                _tokens.AddRange(tokens);
                if (Position < context)
                {
                    late.Join(seen, AttentionAggregate.Sum);
                }
            });

            // A query is among what was seen as many times as queries come after it, before the last sum.
            late.SubtractFrom(seen, context - 1);
            values.Add(statistic, new StatisticValues(late, queries));
            return queries;
        }
        catch
        {
            late.Dispose();
            throw;
        }
    }

    /// <summary>Takes back the end of the context and feeds it once more, part by part.</summary>
    /// <param name="start">The first token that is fed again.</param>
    /// <param name="stops">Where parts end beside the end of the context; those before the start count for nothing.</param>
    /// <param name="queries">Looks at the queries; null: nobody does.</param>
    /// <param name="values">Takes the moments of queries.</param>
    /// <param name="feed">Feeds a part.</param>
    private void FeedAgain(int start, IEnumerable<int> stops, QueryPass? queries, Dictionary<Statistic, StatisticValues> values, PartFeeder feed)
    {
        int context = Position;
        int[] tail = [.. CollectionsMarshal.AsSpan(_tokens)[start..]];
        int[] ends = [.. stops.Concat(queries?.Stops ?? []).Where(stop => stop > start).Append(context).Distinct().Order()];
        int? firstTurn = _firstTurn;
        queries?.Begin();
        try
        {
            TakeBack(start);
            foreach (int end in ends)
            {
                int from = Position;
                feed(tail.AsSpan(from - start, end - from), (double)(from - start) / tail.Length, (double)(end - start) / tail.Length);
                queries?.Reached(end);
            }

            queries?.AddTo(values);
        }
        catch
        {
            Refeed(start, tail);
            throw;
        }
        finally
        {
            _firstTurn = firstTurn;
            queries?.End();
        }
    }

    /// <summary>Feeds a part of the context whose attention nobody looks at.</summary>
    private void FeedUnseen(
        ReadOnlySpan<int> tokens, int context, IProgress<double>? progress, double from, double to, CancellationToken cancellation) =>
        Feed(tokens, Position + tokens.Length == context ? NativeLogits.Last : NativeLogits.None, progress, from, to, cancellation);

    private ScoresHandle CreateScores(NativeAggregates aggregates)
    {
        lock (_native)
        {
            return ScoresHandle.Create(Live, Position, aggregates);
        }
    }

    private NativeScoreBuffer Buffer(ScoresHandle scores, AttentionAggregate aggregate) => NativeScoreBuffer.Of(
        scores, Aggregates([aggregate]), (long)Model.Layers * Model.Heads * Position)!;

    private static NativeAggregates Aggregates(IEnumerable<AttentionAggregate> aggregates)
    {
        NativeAggregates all = NativeAggregates.None;
        foreach (AttentionAggregate aggregate in aggregates)
        {
            all |= aggregate == AttentionAggregate.Max ? NativeAggregates.Max : NativeAggregates.Sum;
        }

        return all;
    }

    /// <summary>Feeds an instruction and the context from a token on: whole where it fits, else in chunks, each after the instruction.</summary>
    private void ScoreByContext(
        ScoresHandle scores,
        ReadOnlySpan<int> instruction,
        int first,
        ulong scoreMemory,
        IProgress<double>? progress,
        CancellationToken cancellation)
    {
        int context = Position;
        int room = Limit - context - instruction.Length;
        if (room < Math.Min(context, SmallestChunk))
        {
            throw new ContextWindowException(
                $"The context of {context} tokens leaves {Math.Max(0, room)} of {Limit} positions to score it by itself; {SmallestChunk} are the least. "
                + "Take a larger context, a shorter document, or the question as task set.",
                context + instruction.Length + SmallestChunk,
                Limit);
        }

        for (int start = first; start < context;)
        {
            int length = Math.Min(room, context - start);
            ReadOnlySpan<int> chunk = CollectionsMarshal.AsSpan(_tokens).Slice(start, length);
            ScoreOnTop(
                scores,
                instruction.IsEmpty ? chunk : [.. instruction, .. chunk],
                scoreMemory,
                progress,
                (double)start / context,
                (double)(start + length) / context,
                cancellation);
            start += length;
        }
    }

    private void ScoreByTokens(
        ScoresHandle scores,
        ReadOnlySpan<int> tokens,
        ulong scoreMemory,
        IProgress<double>? progress,
        CancellationToken cancellation)
    {
        if (tokens.IsEmpty)
        {
            throw new ArgumentException("The task set has no tokens.");
        }

        EnsureFits(tokens.Length, "The context with its task set");
        ScoreOnTop(scores, tokens, scoreMemory, progress, 0, 1, cancellation);
    }

    /// <summary>Puts back what was taken back to be scored, from a position on. Not cancelled: the session must be as it was.</summary>
    private void Refeed(int start, ReadOnlySpan<int> tail)
    {
        if (_disposed)
        {
            return;
        }

        try
        {
            TakeBack(start);
            Feed(tail, NativeLogits.Last);
        }
        catch (EdgeKVException e)
        {
            _fault = $"the end of the context was lost when scoring it failed ({e.Message}) Dispose it and make another one.";
        }
    }

    private void ScoreOnTop(
        ScoresHandle scores,
        ReadOnlySpan<int> tokens,
        ulong scoreMemory,
        IProgress<double>? progress,
        double from,
        double to,
        CancellationToken cancellation)
    {
        FeedScored(scores, tokens, scoreMemory, progress, from, to, cancellation);
        lock (_native)
        {
            // They were never counted among the session's tokens.
            NativeStatus status = NativeMethods.edgekv_rollback(Live, Position);
            if (status != NativeStatus.Ok)
            {
                _fault = "the task tokens of a score pass could not be taken back. Dispose it and make another one.";
                ThrowStatus(status, nameof(NativeMethods.edgekv_rollback), cancellation);
            }
        }
    }

    private unsafe void FeedScored(
        ScoresHandle scores,
        ReadOnlySpan<int> tokens,
        ulong scoreMemory,
        IProgress<double>? progress,
        double from,
        double to,
        CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        using ProgressCallback callback = new(progress, cancellation, from, to);
        ContextHandle context = Live;
        using CancellationTokenRegistration registration =
            cancellation.UnsafeRegister(static state => ((ContextHandle)state!).Interrupt(), context);
        NativeStatus status;
        do
        {
            lock (_native)
            {
                fixed (int* pointer = tokens)
                {
                    status = NativeMethods.edgekv_score(
                        Live, scores, pointer, tokens.Length, scoreMemory, ProgressCallback.Function, callback.User);
                }

                callback.ThrowIfFailed();
                if (status != NativeStatus.Ok && !IsStrayInterrupt(status, cancellation))
                {
                    ThrowStatus(status, nameof(NativeMethods.edgekv_score), cancellation);
                }
            }
        }
        while (status != NativeStatus.Ok);
    }

    /// <summary>Gives back the memory that the pass took. Should that fail, the cache is still what it was, and the next step says so.</summary>
    private void EndScoring()
    {
        lock (_native)
        {
            if (!_disposed)
            {
                _ = NativeMethods.edgekv_score_end(Live);
            }
        }
    }

    /// <summary>Whether every token that was read was scored meanwhile; those of a loaded state were not.</summary>
    private unsafe bool HasLearned()
    {
        if (Profile is null)
        {
            return false;
        }

        // The last one has a score only where all before it have theirs.
        float[] last = new float[Model.Layers * Model.KvHeads];
        lock (_native)
        {
            fixed (float* data = last)
            {
                return NativeMethods.edgekv_learned_scores(Live, Position - 1, 1, data, (nuint)last.Length) == NativeStatus.Ok;
            }
        }
    }

    private void ThrowIfNoProfile()
    {
        if (Profile is null)
        {
            throw new SessionStateException(
                "There are no learned scores: the session was made without a profile. Make one of the model with `edgekv calibrate`, or take another score.");
        }
    }

    /// <summary>Scores of tokens that were read, [layers, kvHeads, count].</summary>
    private unsafe NativeScoreBuffer ReadLearned(int first, int count)
    {
        ThrowIfNoProfile();
        long length = (long)Model.Layers * Model.KvHeads * count;
        NativeScoreBuffer buffer = NativeScoreBuffer.Allocate(length, out float* data);
        try
        {
            lock (_native)
            {
                NativeErrors.ThrowIfFailed(
                    NativeMethods.edgekv_learned_scores(Live, first, count, data, (nuint)length), nameof(NativeMethods.edgekv_learned_scores));
            }

            return buffer;
        }
        catch
        {
            buffer.Dispose();
            throw;
        }
    }

    private unsafe NativeScoreBuffer ReadNorms(NativeNorm which) => ReadCache(
        Model.KvHeads,
        nameof(NativeMethods.edgekv_norms),
        (norms, count) => NativeMethods.edgekv_norms(Live, which, Position, norms, count));

    private unsafe NativeScoreBuffer ReadOutputNorms(NormKind kind) => ReadCache(
        Model.Heads,
        nameof(NativeMethods.edgekv_output_norms),
        (norms, count) => NativeMethods.edgekv_output_norms(
            Live, kind == NormKind.L1 ? NativeOutputNorm.L1 : NativeOutputNorm.L2, Position, norms, count));

    /// <summary>Numbers of every context token, so many rows of them in each layer.</summary>
    private unsafe NativeScoreBuffer ReadCache(int rows, string function, CacheReader read)
    {
        long count = (long)Model.Layers * rows * Position;
        NativeScoreBuffer buffer = NativeScoreBuffer.Allocate(count, out float* data);
        try
        {
            lock (_native)
            {
                NativeErrors.ThrowIfFailed(read(data, (nuint)count), function);
            }

            return buffer;
        }
        catch
        {
            buffer.Dispose();
            throw;
        }
    }

    // Feeds a part of the context, with the shares of the work that are done before it and after.
    private delegate void PartFeeder(ReadOnlySpan<int> tokens, double from, double to);

    // Fills a buffer of so many elements.
    private unsafe delegate NativeStatus CacheReader(float* data, nuint count);

    // A statistic over the last tokens of the context, as a window of so many.
    private readonly record struct Window(Statistic Statistic, int Length, AttentionAggregate Aggregate);

    // The share of one of several passes, which count alike.
    private sealed class PassProgress(IProgress<double> progress, int pass, int passes) : IProgress<double>
    {
        public static IProgress<double>? Of(IProgress<double>? progress, int pass, int passes) =>
            progress is null || passes == 1 ? progress : new PassProgress(progress, pass, passes);

        public void Report(double value) => progress.Report((pass + value) / passes);
    }
}
