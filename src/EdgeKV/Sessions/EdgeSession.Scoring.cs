using System.Runtime.InteropServices;
using EdgeKV.Native;
using EdgeKV.Scoring;

namespace EdgeKV;

public sealed partial class EdgeSession
{
    // Chunks shorter than this would make a pass of many small steps.
    private const int SmallestChunk = 32;

    /// <summary>
    /// Scores everything that the session has read, by the attention of a task set (KVCompose, arXiv 2509.05165, section 3). The task tokens
    /// are fed on top of the cache and taken back.
    /// </summary>
    /// <remarks>
    /// The context as its own task set needs as many positions again as the context has. Where the cache holds fewer it is fed in the largest
    /// chunks that fit, each taken back before the next. A window is taken back and fed once more with scoring on: a few tokens.
    /// </remarks>
    /// <param name="request">Task set and statistics.</param>
    /// <param name="progress">Gets the share done, 0 to 1.</param>
    /// <param name="cancellationToken">Stops the work; the session is as before.</param>
    /// <returns>Scores in native memory; dispose them.</returns>
    /// <exception cref="SessionStateException">Nothing has been read, the cache is compact, or work is running.</exception>
    /// <exception cref="ContextWindowException">The task tokens do not fit on top of the context.</exception>
    /// <exception cref="UnsupportedModelException">The model is of a kind that cannot be scored.</exception>
    /// <exception cref="OutOfKvMemoryException">Not enough memory.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public Task<AttentionScores> ScoreAsync(
        ScoreRequest request,
        IProgress<double>? progress = null,
        CancellationToken cancellationToken = default) => ScoreAsync(request, new CompressOptions(), progress, cancellationToken);

    /// <inheritdoc cref="ScoreAsync(ScoreRequest, IProgress{double}, CancellationToken)"/>
    /// <param name="request">Task set and statistics.</param>
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
        const ScoreStatistics Norms = ScoreStatistics.KeyNorms | ScoreStatistics.ValueNorms;
        bool needsCache = request.NeedsAttention || (request.Statistics & Norms) != 0;
        if (needsCache && _compact && CacheValue(NativeCacheKey.Rows) > 0)
        {
            throw new SessionStateException(
                "Cannot score: the cache is compact, and rows that are gone have no attention. Score before compressing.");
        }

        int context = Position;
        long queries = 0;
        List<ScoreBuffer> buffers = [];
        try
        {
            NativeScoreBuffer? max = null;
            NativeScoreBuffer? sum = null;
            if (request.NeedsAttention)
            {
                ScoresHandle scores = ScoreTasks(request, (ulong)scoreMemory, progress, cancellation);
                long length = (long)Model.Layers * Model.Heads * context;
                max = Keep(NativeScoreBuffer.Of(scores, NativeAggregates.Max, length));
                sum = Keep(NativeScoreBuffer.Of(scores, NativeAggregates.Sum, length));
                queries = NativeMethods.edgekv_scores_queries(scores);
            }

            NativeScoreBuffer? learned = Keep(request.Statistics.HasFlag(ScoreStatistics.Learned) ? ReadLearned(0, Position) : null);
            NativeScoreBuffer? keys = Keep(request.Statistics.HasFlag(ScoreStatistics.KeyNorms) ? ReadNorms(NativeNorm.Keys) : null);
            NativeScoreBuffer? values = Keep(request.Statistics.HasFlag(ScoreStatistics.ValueNorms) ? ReadNorms(NativeNorm.Values) : null);
            return new AttentionScores(Model.Layers, Model.Heads, Model.KvHeads, context, queries, max, sum, keys, values, learned);
        }
        catch
        {
            foreach (ScoreBuffer buffer in buffers)
            {
                buffer.Dispose();
            }

            throw;
        }

        NativeScoreBuffer? Keep(NativeScoreBuffer? buffer)
        {
            if (buffer is not null)
            {
                buffers.Add(buffer);
            }

            return buffer;
        }
    }

    /// <summary>Feeds the task set with scoring on and leaves the cache as it was.</summary>
    private ScoresHandle ScoreTasks(ScoreRequest request, ulong scoreMemory, IProgress<double>? progress, CancellationToken cancellation)
    {
        NativeAggregates aggregates = (request.Statistics.HasFlag(ScoreStatistics.Max) ? NativeAggregates.Max : 0)
            | (request.Statistics.HasFlag(ScoreStatistics.Sum) ? NativeAggregates.Sum : 0);
        ScoresHandle scores;
        lock (_native)
        {
            scores = ScoresHandle.Create(Live, Position, aggregates);
        }

        try
        {
            switch (request.TaskSet)
            {
                case ContextTaskSet:
                    ScoreByContext(scores, default, 0, scoreMemory, progress, cancellation);
                    break;
                case RepeatTaskSet:
                    ScoreByContext(
                        scores,
                        Model.RepeatInstruction(),
                        Model.OpeningLength(CollectionsMarshal.AsSpan(_tokens)),
                        scoreMemory,
                        progress,
                        cancellation);
                    break;
                case WindowTaskSet window:
                    ScoreByWindow(scores, window.Tokens, scoreMemory, progress, cancellation);
                    break;
                case QuestionTaskSet questions:
                    ScoreByTokens(
                        scores, [.. questions.Questions.SelectMany(text => Model.TokenizeQuestion(text))], scoreMemory, progress, cancellation);
                    break;
                case TextTaskSet texts:
                    ScoreByTokens(scores, [.. texts.Prompts.SelectMany(text => Model.Tokenize(text))], scoreMemory, progress, cancellation);
                    break;
                default:
                    throw new ArgumentException($"Unknown task set: {request.TaskSet.GetType().Name}.", nameof(request));
            }

            return scores;
        }
        catch
        {
            scores.Dispose();
            throw;
        }
        finally
        {
            EndScoring();
        }
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

    private void ScoreByWindow(
        ScoresHandle scores,
        int window,
        ulong scoreMemory,
        IProgress<double>? progress,
        CancellationToken cancellation)
    {
        int context = Position;
        int start = Math.Max(0, context - window);
        int[] tail = [.. CollectionsMarshal.AsSpan(_tokens)[start..]];
        TakeBack(start);
        try
        {
            FeedScored(scores, tail, scoreMemory, progress, 0, 1, cancellation);
            _tokens.AddRange(tail);
        }
        catch
        {
            Refeed(tail);
            throw;
        }
    }

    /// <summary>Puts back what was taken back to be scored. Not cancelled: the session must be as it was.</summary>
    private void Refeed(ReadOnlySpan<int> tail)
    {
        if (_disposed)
        {
            return;
        }

        try
        {
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

    private unsafe NativeScoreBuffer ReadNorms(NativeNorm which)
    {
        long count = (long)Model.Layers * Model.KvHeads * Position;
        NativeScoreBuffer buffer = NativeScoreBuffer.Allocate(count, out float* data);
        try
        {
            lock (_native)
            {
                NativeErrors.ThrowIfFailed(
                    NativeMethods.edgekv_norms(Live, which, Position, data, (nuint)count), nameof(NativeMethods.edgekv_norms));
            }

            return buffer;
        }
        catch
        {
            buffer.Dispose();
            throw;
        }
    }
}
