using EdgeKV.Models;
using EdgeKV.Native;
using EdgeKV.Profiles;
using EdgeKV.Scoring;
using LLama;

namespace EdgeKV.Engine;

/// <summary>
/// EdgeKV's view of a LLamaSharp context: it scores, compresses and reads on in the context's KV cache, and the executors that use the context go on without
/// a change.
/// </summary>
/// <remarks>
/// What EdgeKV knows about a context belongs to the context: attaching a second time finds the same state, and disposing a view changes nothing. The
/// library records the token ids and the learned scores of every token that is decoded after the first attach, whoever decodes it. Long work runs on one thread
/// of the context's own, one piece after another. Executors and other threads that use the context meanwhile wait.
/// </remarks>
public sealed class KvContext : IDisposable
{
    private readonly AttachOptions _options;
    /// <summary>Tokens that a context computes at one time unless it is made with another number.</summary>
    public const int DefaultBatchSize = 512;

    private readonly int _sizeLimit;
    private bool _disposed;

    private KvContext(LLamaContext context, NativeContext native, AttachOptions options, int sizeLimit)
    {
        Context = context;
        Native = native;
        _options = options;
        _sizeLimit = sizeLimit;
        Profile = options.LearnedScores ? options.Profile ?? native.Model.Profile : null;
    }

    /// <summary>LLamaSharp's context.</summary>
    public LLamaContext Context { get; }

    /// <summary>The context's model.</summary>
    public EdgeModel Model => Native.Model;

    /// <summary>What scores are predicted by as tokens are decoded; null: none are.</summary>
    public ScoreProfile? Profile { get; }

    /// <summary>The cache as it is now. May be asked at any time; waits while a native call runs in the context.</summary>
    /// <exception cref="SessionStateException">The context failed.</exception>
    /// <exception cref="ObjectDisposedException">The view or the context has been disposed.</exception>
    public CacheState State
    {
        get
        {
            ThrowIfDisposed();
            using (Enter())
            {
                return CacheStateReader.Read(Native, Limit);
            }
        }
    }

    /// <summary>The position that the next token gets: the number of tokens that were fed and not taken back.</summary>
    /// <exception cref="SessionStateException">The context failed.</exception>
    /// <exception cref="ObjectDisposedException">The view or the context has been disposed.</exception>
    public int Position
    {
        get
        {
            ThrowIfDisposed();
            using (Enter())
            {
                return Native.Position;
            }
        }
    }

    /// <summary>
    /// Positions that the cache can come to hold: the cells of a full cache, the model's window for a compact one.
    /// </summary>
    /// <exception cref="SessionStateException">The context failed.</exception>
    /// <exception cref="ObjectDisposedException">The view or the context has been disposed.</exception>
    public int Limit
    {
        get
        {
            ThrowIfDisposed();
            using (Enter())
            {
                return Native.IsCompact ? Model.Window : FullLimit;
            }
        }
    }

    /// <summary>Positions that the full cache can hold.</summary>
    internal int FullLimit => Math.Min(Math.Min((int)Native.Get(NativeCacheKey.ContextSize), Model.Window), _sizeLimit);

    internal NativeContext Native { get; }

    /// <summary>Attaches to a context, the first time or again.</summary>
    /// <param name="context">
    /// Made after <see cref="EdgeKVRuntime.Use"/>, with flash attention on or left to llama.cpp, and with one sequence or a unified cache.
    /// </param>
    /// <param name="options">How; null for the defaults.</param>
    /// <exception cref="NativeLibraryException">LLamaSharp does not run on EdgeKV's library; the message says why.</exception>
    /// <exception cref="UnsupportedModelException">The context's cache cannot be made compact; the message says why.</exception>
    /// <exception cref="ProfileException">The profile is damaged or another model's.</exception>
    /// <exception cref="SessionStateException">The context failed, and its owner has not cleared it yet.</exception>
    /// <exception cref="ObjectDisposedException">The context has been disposed.</exception>
    public static KvContext Attach(LLamaContext context, AttachOptions? options = null) => Attach(context, options, int.MaxValue);

    /// <summary>Attaches to a context with a given profile.</summary>
    /// <param name="context">As above.</param>
    /// <param name="profile">What scores are predicted by.</param>
    /// <inheritdoc cref="Attach(LLamaContext, AttachOptions?)"/>
    public static KvContext Attach(LLamaContext context, ScoreProfile profile)
    {
        ArgumentNullException.ThrowIfNull(profile);
        return Attach(context, new AttachOptions { Profile = profile });
    }

    /// <param name="context">The context.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="sizeLimit">Positions that the full cache may be filled to, where that is fewer than it has cells.</param>
    internal static KvContext Attach(LLamaContext context, AttachOptions? options, int sizeLimit)
    {
        ArgumentNullException.ThrowIfNull(context);
        KvContext view = new(context, NativeContext.Of(context.NativeHandle), options ?? new AttachOptions(), sizeLimit);
        view.Configure();
        return view;
    }

    /// <summary>
    /// Feeds tokens at the next positions, on the calling thread, and gives the next token's logits. Low-level: no template, nothing taken back.
    /// </summary>
    /// <param name="tokens">At least one token; with <paramref name="allLogits"/> at most the context's batch size.</param>
    /// <param name="allLogits">Whether the logits of every token are wanted rather than those of the last.</param>
    /// <returns>Logits after the last token, [vocabulary]; valid until the context is used again or disposed.</returns>
    /// <exception cref="ContextWindowException">More tokens than the cache can hold.</exception>
    /// <exception cref="ModelException">The model computes no numbers.</exception>
    /// <exception cref="ObjectDisposedException">The view or the context has been disposed.</exception>
    public ReadOnlySpan<float> Decode(scoped ReadOnlySpan<int> tokens, bool allLogits = false)
    {
        ThrowIfDisposed();
        if (tokens.IsEmpty)
        {
            throw new ArgumentException("There is no token to feed.", nameof(tokens));
        }

        using (Enter())
        {
            EnsureFits(tokens.Length, "The tokens");
            Native.Feed(tokens, allLogits ? NativeLogits.All : NativeLogits.Last, WorkPart.Silent);
            return Logits(-1);
        }
    }

    /// <summary>Logits of a token of the last decode.</summary>
    /// <param name="index">From 0, or negative from the end; -1 unless all logits were asked for.</param>
    /// <returns>[vocabulary]; valid until the context is used again or disposed.</returns>
    /// <exception cref="SessionStateException">There are no logits of that token.</exception>
    /// <exception cref="ModelException">The model computes no numbers.</exception>
    /// <exception cref="ObjectDisposedException">The view or the context has been disposed.</exception>
    public ReadOnlySpan<float> Logits(int index = -1)
    {
        ThrowIfDisposed();
        try
        {
            ReadOnlySpan<float> logits = Context.NativeHandle.GetLogitsIth(index);
            ModelNumbers.EnsureLogits(logits);
            return logits;
        }
        catch (LLama.Exceptions.GetLogitsInvalidIndexException e)
        {
            throw new SessionStateException($"The last decode left no logits at index {index}.", e);
        }
    }

    /// <summary>Takes back every token at a position and after it. Rows that compression kept cannot be taken back.</summary>
    /// <param name="position">0 to <see cref="Position"/>.</param>
    /// <exception cref="SessionStateException">The position lies within compressed context.</exception>
    /// <exception cref="ObjectDisposedException">The view or the context has been disposed.</exception>
    public void Rollback(int position)
    {
        ThrowIfDisposed();
        using (Enter())
        {
            ArgumentOutOfRangeException.ThrowIfNegative(position);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(position, Native.Position);
            Native.Rollback(position);
        }
    }

    /// <summary>Forgets everything that was fed. The cache becomes full again, and a failed context works again.</summary>
    /// <exception cref="ObjectDisposedException">The view or the context has been disposed.</exception>
    public void Clear()
    {
        ThrowIfDisposed();
        using (Native.Enter(_options.WaitForContext))
        {
            Native.Clear();
        }
    }

    /// <summary>Sees what is asked for of everything that the context holds. The context is as before afterwards, logits that nobody has read yet included.</summary>
    /// <remarks>
    /// The tokens of a task set are fed on top of the cache and taken back, once for all aggregates of it. A reconstruction is a pass for each length of its chunks. One pass
    /// serves all windows and query moments, one each kind of blocks. Norms, learned scores and what is made of cached rows alone need none.
    /// The context as its own task set needs as many positions again as the context has. Where the cache holds fewer it is fed in the largest
    /// chunks that fit, each taken back before the next. Memory: 4 bytes for each layer, head and context token of every statistic.
    /// </remarks>
    /// <param name="request">The statistics.</param>
    /// <param name="progress">Gets the share done, 0 to 1.</param>
    /// <param name="cancellationToken">Stops the work; the context is as before.</param>
    /// <returns>Scores in native memory; dispose them.</returns>
    /// <exception cref="SessionStateException">Nothing has been read, rows or token ids that are needed are missing, or the context failed.</exception>
    /// <exception cref="ContextWindowException">The task tokens, or a chunk of the reconstruction, do not fit on top of the context.</exception>
    /// <exception cref="PlanException">A statistic leaves every token out, its blocks do not fit the batch, or its directions are another model's.</exception>
    /// <exception cref="UnsupportedModelException">The model is of a kind that cannot be scored.</exception>
    /// <exception cref="OutOfKvMemoryException">Not enough memory.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public Task<AttentionScores> ScoreAsync(
        ScoreRequest request, IProgress<double>? progress = null, CancellationToken cancellationToken = default) =>
        ScoreAsync(request, scoreMemory: 0, progress, cancellationToken);

    /// <inheritdoc cref="ScoreAsync(ScoreRequest, IProgress{double}?, CancellationToken)"/>
    /// <param name="request">The statistics.</param>
    /// <param name="scoreMemory">Bytes of attention weights that a pass may hold at one time; 0 = 64 MiB.</param>
    /// <param name="progress">Gets the share done, 0 to 1.</param>
    /// <param name="cancellationToken">Stops the work; the context is as before.</param>
    public Task<AttentionScores> ScoreAsync(
        ScoreRequest request, long scoreMemory, IProgress<double>? progress, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        ArgumentOutOfRangeException.ThrowIfNegative(scoreMemory);
        return RunAsync(() => Score(request, scoreMemory, WorkPart.Whole(progress, cancellationToken)), cancellationToken);
    }

    /// <summary>Ends this view. The context, its cache and other views of it go on.</summary>
    public void Dispose() => _disposed = true;

    /// <summary>Scores on the calling thread, which holds the context's lock.</summary>
    internal AttentionScores Score(ScoreRequest request, long scoreMemory, in WorkPart part)
    {
        ThrowIfEmpty("score");
        Model.EnsureSupported();
        if (request.NeedsFullCache && Native.IsCompact && Native.Get(NativeCacheKey.Rows) > 0)
        {
            string missing = string.Join(", ", request.Statistics.Where(statistic => statistic.NeedsFullCache));
            throw new SessionStateException(
                $"Cannot score: the cache is compact, and {missing} would need the rows that are gone. Policies of learned scores can compress a compact cache again.");
        }

        if (!request.NeedsPass)
        {
            return ScorePass.Run(new ScoredContext(Native, Limit, scoreMemory), request, part);
        }

        NativeErrors.ThrowIfFailed(NativeMethods.edgekv_outputs_keep(Native.Handle), nameof(NativeMethods.edgekv_outputs_keep));
        int position = Native.Position;
        try
        {
            return ScorePass.Run(new ScoredContext(Native, Limit, scoreMemory), request, part);
        }
        finally
        {
            Native.Restore(position);

            // Should giving memory back fail, the next call says so.
            _ = NativeMethods.edgekv_score_end(Native.Handle);
            _ = NativeMethods.edgekv_outputs_restore(Native.Handle);
        }
    }

    /// <summary>Runs work on the context's thread, inside its lock.</summary>
    internal Task<T> RunAsync<T>(Func<T> work, CancellationToken cancellation)
    {
        ThrowIfDisposed();
        if (cancellation.IsCancellationRequested)
        {
            return Task.FromCanceled<T>(cancellation);
        }

        return Native.Worker.RunAsync(() =>
        {
            using (Enter())
            {
                return work();
            }
        });
    }

    /// <summary>Takes the lock of a context that has not failed.</summary>
    internal ContextLock Enter()
    {
        ContextLock scope = Native.Enter(_options.WaitForContext);
        try
        {
            Native.ThrowIfFailed();
            return scope;
        }
        catch
        {
            scope.Dispose();
            throw;
        }
    }

    /// <exception cref="ContextWindowException">So many tokens more do not fit.</exception>
    internal void EnsureFits(int tokens, string what)
    {
        int position = Native.Position;
        int limit = Limit;
        long length = (long)position + tokens;
        if (length <= limit)
        {
            return;
        }

        string found = position == 0 ? $"{what} has {tokens} tokens" : $"{what} would end at {length} tokens";
        string help = limit < Model.Window
            ? $"the context holds {limit} (ContextSize); the model's window would allow {Model.Window}."
            : $"the model's window holds {limit}. Shorten the text, split it, or take a model with a larger window.";
        throw new ContextWindowException($"{found}; {help}", (int)Math.Min(length, int.MaxValue), limit);
    }

    internal void ThrowIfEmpty(string what)
    {
        if (Native.Position == 0)
        {
            throw new SessionStateException($"Cannot {what}: the context has read nothing yet.");
        }
    }

    internal void ThrowIfDisposed()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ObjectDisposedException.ThrowIf(Native.Handle.IsClosed, typeof(LLamaContext));
    }

    private void Configure()
    {
        using (Native.Enter(_options.WaitForContext))
        {
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_attention_set(Native.Handle, (NativeAttention)_options.Attention), nameof(NativeMethods.edgekv_attention_set));
            if (Profile is { } profile)
            {
                Native.ScoreBy(profile);
            }
        }
    }
}
