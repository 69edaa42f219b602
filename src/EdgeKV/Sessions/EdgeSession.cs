using System.Diagnostics;
using System.Runtime.InteropServices;
using EdgeKV.Generation;
using EdgeKV.Models;
using EdgeKV.Native;
using EdgeKV.Profiles;

namespace EdgeKV.Sessions;

/// <summary>
/// One document in one KV cache: read it, compress it, ask about it. Does one thing at a time; a second call meanwhile throws a
/// <see cref="SessionStateException"/>. Long work runs on a thread of the session's own.
/// </summary>
/// <remarks>
/// Work that fails or is cancelled leaves the session as it was before. Disposing while work runs stops it and waits for that.
/// </remarks>
public sealed partial class EdgeSession : IDisposable
{
    // Room beside twice the document when the session chooses its size: questions, answers and the template's parts.
    private const int SpareTokens = 2048;

    private readonly SessionOptions _options;
    private readonly SessionWorker _worker = new();
    private readonly Lock _native = new();
    private readonly List<int> _tokens = [];
    private ContextHandle? _context;
    private int _contextSize;
    private bool _compact;

    // Whether the full cache was made for one chunk alone, so that no other work can use it.
    private bool _oneChunk;

    // Where the first kept question ended: past it a question begins a turn of its own.
    private int? _firstTurn;
    private string? _running;
    private string? _fault;
    private volatile bool _disposed;
    private TimeSpan _prefillTime;

    internal EdgeSession(EdgeModel model, SessionOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(options.ContextSize);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.BatchSize, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(options.Threads);

        // Throws when the model has been disposed.
        _ = model.Handle;
        if (options.ContextSize > model.Window)
        {
            throw new ContextWindowException(
                $"A context of {options.ContextSize} tokens was asked for; the model's window holds {model.Window}.",
                options.ContextSize,
                model.Window);
        }

        Model = model;
        _options = options;
        options.Profile?.EnsureFits(model);
        Profile = options.LearnedScores ? options.Profile ?? model.Profile : null;
        if (options.ContextSize > 0)
        {
            CreateContext(options.ContextSize);
        }
    }

    /// <summary>The model that the session asks.</summary>
    public EdgeModel Model { get; }

    /// <summary>What the session predicts scores by as it reads; null: it computes none.</summary>
    public ScoreProfile? Profile { get; }

    /// <summary>The position that the next token gets: tokens that were fed and not taken back.</summary>
    public int Position => _tokens.Count;

    /// <summary>What the last answer took; null before the first one.</summary>
    public GenerationStatistics? LastGeneration { get; private set; }

    /// <summary>What the last prefill took.</summary>
    public TimeSpan PrefillTime => _prefillTime;

    /// <summary>
    /// Positions that the cache can come to hold: the cells of a full cache, the model's window for a compact one. Of a session that chooses
    /// its size by the document, the window as long as there is no document.
    /// </summary>
    public int Limit
    {
        get
        {
            int size = _contextSize > 0 ? _contextSize : _options.ContextSize;
            return _compact || size == 0 ? Model.Window : Math.Min(size, Model.Window);
        }
    }

    /// <summary>The cache as it is now.</summary>
    /// <exception cref="SessionStateException">Work is running.</exception>
    /// <exception cref="ObjectDisposedException">The session has been disposed.</exception>
    public CacheInfo Cache => RunHere("describe the cache", () => _context is null
        ? new CacheInfo(false, 0, 0, 0, 0, Model.KvMemory.BytesPerRow(_options.CacheType), 0, 0)
        : new CacheInfo(
            CacheValue(NativeCacheKey.Compact) != 0,
            CacheValue(NativeCacheKey.Bytes),
            CacheValue(NativeCacheKey.Rows),
            (int)CacheValue(NativeCacheKey.Room),
            (int)CacheValue(NativeCacheKey.ContextTokens),
            CacheValue(NativeCacheKey.RowBytes),
            (int)CacheValue(NativeCacheKey.ContextSize),
            Position));

    internal ContextHandle? Handle => _context;

    /// <summary>
    /// Reads a document: the beginning of a user's turn in the model's chat template. Questions follow in the same turn
    /// (<see cref="GenerateAsync(string, GenerationOptions, CancellationToken)"/>).
    /// </summary>
    /// <param name="document">The document, read as it is: a question follows its last character, so let it end with a blank line.</param>
    /// <param name="progress">Gets the share done, 0 to 1.</param>
    /// <param name="cancellationToken">Stops the work; the session is then as empty as before and may be used again.</param>
    /// <exception cref="ContextWindowException">The document is longer than the cache can hold.</exception>
    /// <exception cref="UnsupportedModelException">The model has no chat template, or one that llama.cpp does not know.</exception>
    /// <exception cref="OutOfKvMemoryException">Not enough memory for the cache.</exception>
    /// <exception cref="SessionStateException">The session has read something already, or work is running.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The session or the model has been disposed.</exception>
    public Task PrefillAsync(string document, IProgress<double>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(document);
        return RunAsync("prefill", () => Prefill(Model.TokenizeDocument(document), progress, cancellationToken), cancellationToken);
    }

    /// <summary>Reads tokens as they are, with no chat template around them.</summary>
    /// <param name="tokens">At least one token.</param>
    /// <param name="progress">Gets the share done, 0 to 1.</param>
    /// <param name="cancellationToken">Stops the work; the session is then as empty as before and may be used again.</param>
    /// <exception cref="ContextWindowException">More tokens than the cache can hold.</exception>
    /// <exception cref="OutOfKvMemoryException">Not enough memory for the cache.</exception>
    /// <exception cref="SessionStateException">The session has read something already, or work is running.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The session or the model has been disposed.</exception>
    public Task PrefillAsync(
        ReadOnlyMemory<int> tokens,
        IProgress<double>? progress = null,
        CancellationToken cancellationToken = default) =>
        RunAsync("prefill", () => Prefill(tokens.Span, progress, cancellationToken), cancellationToken);

    /// <summary>
    /// Feeds tokens at the next positions, on the calling thread, and gives the next token's logits. Low-level: no template, nothing taken back.
    /// </summary>
    /// <param name="tokens">At least one token; with <paramref name="allLogits"/> at most <see cref="SessionOptions.BatchSize"/>.</param>
    /// <param name="allLogits">Whether <see cref="Logits"/> shall have those of every token rather than of the last.</param>
    /// <returns>Logits after the last token, [vocabulary]; valid until the session is used again or disposed.</returns>
    /// <exception cref="ContextWindowException">More tokens than the cache can hold.</exception>
    /// <exception cref="SessionStateException">Work is running.</exception>
    /// <exception cref="ObjectDisposedException">The session has been disposed.</exception>
    public ReadOnlySpan<float> Decode(ReadOnlySpan<int> tokens, bool allLogits = false)
    {
        Enter("decode");
        try
        {
            ThrowIfEmpty(tokens, nameof(tokens));
            EnsureContext(tokens.Length);
            EnsureFits(tokens.Length, "The tokens");
            Feed(tokens, allLogits ? NativeLogits.All : NativeLogits.Last);
            return LogitsOf(-1);
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>Logits of a token of the last <see cref="Decode"/>.</summary>
    /// <param name="index">From 0, or negative from the end; -1 unless all logits were asked for.</param>
    /// <returns>[vocabulary]; valid until the session is used again or disposed.</returns>
    /// <exception cref="SessionStateException">There are no logits of that token, or work is running.</exception>
    public ReadOnlySpan<float> Logits(int index = -1)
    {
        Enter("read logits");
        try
        {
            return LogitsOf(index);
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>Takes back every token at a position and after it. Rows that compression kept cannot be taken back.</summary>
    /// <param name="position">0 to <see cref="Position"/>.</param>
    /// <exception cref="SessionStateException">The position lies within compressed context, or work is running.</exception>
    /// <exception cref="ObjectDisposedException">The session has been disposed.</exception>
    public void Rollback(int position) => RunHere("roll back", () =>
    {
        ArgumentOutOfRangeException.ThrowIfNegative(position);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(position, Position);
        TakeBack(position);
        return true;
    });

    /// <summary>Forgets everything that was fed. A compact cache stays compact, with no kept rows.</summary>
    /// <exception cref="SessionStateException">Work is running.</exception>
    /// <exception cref="ObjectDisposedException">The session has been disposed.</exception>
    public void Clear() => RunHere("clear", () =>
    {
        if (_oneChunk)
        {
            DropContext();
        }
        else if (_context is not null)
        {
            lock (_native)
            {
                NativeErrors.ThrowIfFailed(NativeMethods.edgekv_clear(Live), nameof(NativeMethods.edgekv_clear));
            }
        }

        _tokens.Clear();
        _firstTurn = null;
        _prefillTime = default;
        return true;
    });

    /// <summary>Writes the cache and its tokens to a file in llama.cpp's state format. A compact cache is written as it is.</summary>
    /// <param name="path">The file; written over.</param>
    /// <exception cref="EdgeKVException">The file cannot be written.</exception>
    /// <exception cref="SessionStateException">There is nothing to save, or work is running.</exception>
    /// <exception cref="ObjectDisposedException">The session has been disposed.</exception>
    public void Save(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        RunHere("save", () =>
        {
            ThrowIfEmptySession("save");
            SaveState(path);
            return true;
        });
    }

    /// <summary>Reads a cache that <see cref="Save"/> wrote, from a session of the same model and cache type.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="EdgeKVException">The file cannot be read, or is not one for this model and cache type. The session is empty then.</exception>
    /// <exception cref="SessionStateException">Work is running.</exception>
    /// <exception cref="ObjectDisposedException">The session has been disposed.</exception>
    public void Load(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        RunHere("load", () =>
        {
            LoadState(path);
            return true;
        });
    }

    /// <summary>Stops what is running, waits for that, and frees the cache.</summary>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        _context?.Interrupt();
        lock (_native)
        {
            _context?.Dispose();
        }

        _worker.Close();
    }

    private ContextHandle Live
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return _context ?? throw new SessionStateException("The session has read nothing yet: prefill first.");
        }
    }

    private void Enter(string what)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (Interlocked.CompareExchange(ref _running, what, null) is { } other)
        {
            throw new SessionStateException($"Cannot {what} now: the session is busy ({other}). It does one thing at a time.");
        }

        if (_fault is { } fault)
        {
            Exit();
            throw new SessionStateException($"Cannot {what}: {fault}");
        }
    }

    private void Exit() => Volatile.Write(ref _running, null);

    private T RunHere<T>(string what, Func<T> work)
    {
        Enter(what);
        try
        {
            return work();
        }
        finally
        {
            Exit();
        }
    }

    private Task<bool> RunAsync(string what, Action work, CancellationToken cancellation) => RunAsync(
        what,
        () =>
        {
            work();
            return true;
        },
        cancellation);

    private Task<T> RunAsync<T>(string what, Func<T> work, CancellationToken cancellation)
    {
        if (cancellation.IsCancellationRequested)
        {
            return Task.FromCanceled<T>(cancellation);
        }

        Enter(what);
        Job<T> job = new(this, work);
        _worker.Post(job);
        return job.Task;
    }

    /// <param name="size">Cells of the full cache.</param>
    /// <param name="positions">Positions that the context will come to have; 0: no more than there are cells.</param>
    private void CreateContext(int size, int positions = 0)
    {
        NativeType type = _options.CacheType switch
        {
            KvCacheType.F32 => NativeType.F32,
            KvCacheType.F16 => NativeType.F16,
            KvCacheType.Q8_0 => NativeType.Q8_0,
            KvCacheType.Q4_0 => NativeType.Q4_0,
            _ => throw new ArgumentOutOfRangeException(nameof(size), _options.CacheType, "Known types are F32, F16, Q8_0 and Q4_0."),
        };
        ContextHandle context = ContextHandle.Create(
            Model.Handle,
            (uint)size,
            (uint)_options.BatchSize,
            type,
            _options.Threads,
            _options.OffloadKv,
            (NativeAttention)_options.Attention);
        try
        {
            if (positions > 0)
            {
                NativeErrors.ThrowIfFailed(
                    NativeMethods.edgekv_positions_set(context, (uint)positions), nameof(NativeMethods.edgekv_positions_set));
            }

            if (Profile is { } profile)
            {
                NativeErrors.ThrowIfFailed(
                    NativeMethods.edgekv_score_map_set(context, Model.MapOf(profile)), nameof(NativeMethods.edgekv_score_map_set));
            }
        }
        catch
        {
            context.Dispose();
            throw;
        }

        lock (_native)
        {
            if (_disposed)
            {
                context.Dispose();
            }

            ObjectDisposedException.ThrowIf(_disposed, this);
            _context?.Dispose();
            _context = context;
            _compact = false;
            _oneChunk = positions > 0;
            _contextSize = (int)CacheValue(NativeCacheKey.ContextSize);
        }
    }

    /// <summary>Cells of a full cache that can hold a document, twice where the session chooses its own size and the window allows it.</summary>
    private int FullSize(int tokens) =>
        _options.ContextSize > 0 ? _options.ContextSize : (int)Math.Min(2L * tokens + SpareTokens, Model.Window);

    /// <summary>Where the session chooses its own size, or has no cache, makes one that can hold a document.</summary>
    private void EnsureContext(int tokens)
    {
        int wanted = FullSize(tokens);
        if (_context is null || (_options.ContextSize == 0 && !_compact && Position == 0 && wanted > _contextSize))
        {
            // The old one goes first: both together may not fit.
            DropContext();
            CreateContext(wanted);
        }
    }

    /// <summary>Frees the cache; the next work makes another one.</summary>
    private void DropContext()
    {
        lock (_native)
        {
            _context?.Dispose();
            _context = null;
            _contextSize = 0;
            _compact = false;
            _oneChunk = false;
        }
    }

    private void EnsureFits(int tokens, string what)
    {
        long length = (long)Position + tokens;
        if (length <= Limit)
        {
            return;
        }

        string found = Position == 0 ? $"{what} has {tokens} tokens" : $"{what} would end at {length} tokens";
        string help = Limit < Model.Window
            ? $"the session's context holds {Limit} (SessionOptions.ContextSize); the model's window would allow {Model.Window}."
            : $"the model's window holds {Limit}. Shorten the text, split it, or take a model with a larger window.";
        throw new ContextWindowException($"{found}; {help}", (int)Math.Min(length, int.MaxValue), Limit);
    }

    private void ThrowIfEmptySession(string what)
    {
        if (Position == 0)
        {
            throw new SessionStateException($"Cannot {what}: the session has read nothing yet. Prefill first.");
        }
    }

    private static void ThrowIfEmpty(ReadOnlySpan<int> tokens, string name)
    {
        if (tokens.IsEmpty)
        {
            throw new ArgumentException("There is no token to feed.", name);
        }
    }

    private void ThrowIfNothingToRead(ReadOnlySpan<int> tokens)
    {
        ThrowIfEmpty(tokens, nameof(tokens));
        if (Position > 0)
        {
            throw new SessionStateException(
                $"Cannot prefill: the session has read {Position} tokens already. Clear it, roll it back to 0, or make another one.");
        }
    }

    private void ThrowIfBeyondTheWindow(ReadOnlySpan<int> tokens)
    {
        if (tokens.Length > Model.Window)
        {
            throw new ContextWindowException(
                $"The document has {tokens.Length} tokens; the model's window holds {Model.Window}. Shorten it, split it, or take a model with a larger window.",
                tokens.Length,
                Model.Window);
        }
    }

    private void Prefill(ReadOnlySpan<int> tokens, IProgress<double>? progress, CancellationToken cancellation)
    {
        ThrowIfNothingToRead(tokens);
        if (_options.ContextSize == 0)
        {
            ThrowIfBeyondTheWindow(tokens);
        }

        EnsureContext(tokens.Length);
        EnsureFits(tokens.Length, "The document");
        long start = Stopwatch.GetTimestamp();
        Feed(tokens, NativeLogits.Last, progress, cancellation);
        _prefillTime = Stopwatch.GetElapsedTime(start);
    }

    /// <summary>Decodes tokens and remembers them. On failure nothing has been fed.</summary>
    private void Feed(
        ReadOnlySpan<int> tokens,
        NativeLogits logits,
        IProgress<double>? progress = null,
        CancellationToken cancellation = default) => Feed(tokens, logits, progress, 0, 1, cancellation);

    /// <summary>The same for a part of longer work: progress goes from one share to another.</summary>
    private void Feed(
        ReadOnlySpan<int> tokens,
        NativeLogits logits,
        IProgress<double>? progress,
        double from,
        double to,
        CancellationToken cancellation)
    {
        if (progress is null && !cancellation.CanBeCanceled)
        {
            Feed(tokens, logits, callback: null, cancellation);
            return;
        }

        using ProgressCallback callback = new(progress, cancellation, from, to);
        ContextHandle context = Live;
        using (cancellation.UnsafeRegister(static state => ((ContextHandle)state!).Interrupt(), context))
        {
            Feed(tokens, logits, callback, cancellation);
        }
    }

    private unsafe void Feed(ReadOnlySpan<int> tokens, NativeLogits logits, ProgressCallback? callback, CancellationToken cancellation)
    {
        NativeStatus status;
        do
        {
            lock (_native)
            {
                fixed (int* pointer = tokens)
                {
                    status = NativeMethods.edgekv_decode(
                        Live,
                        pointer,
                        tokens.Length,
                        logits,
                        callback is null ? null : ProgressCallback.Function,
                        callback is null ? null : callback.User);
                }

                callback?.ThrowIfFailed();
                if (status != NativeStatus.Ok && !IsStrayInterrupt(status, cancellation))
                {
                    ThrowStatus(status, nameof(NativeMethods.edgekv_decode), cancellation);
                }
            }
        }
        while (status != NativeStatus.Ok);
        _tokens.AddRange(tokens);
    }

    /// <summary>
    /// An interrupt that came just after the call it was meant for stops the next one, which nobody asked to stop: that one is made again.
    /// </summary>
    private bool IsStrayInterrupt(NativeStatus status, CancellationToken cancellation) =>
        status == NativeStatus.Cancelled && !cancellation.IsCancellationRequested && !_disposed;

    private void ThrowStatus(NativeStatus status, string function, CancellationToken cancellation)
    {
        if (status == NativeStatus.Cancelled && !cancellation.IsCancellationRequested)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
        }

        NativeErrors.ThrowIfFailed(status, function, cancellation);
    }

    private void TakeBack(int position)
    {
        if (position == Position && (_context is null || _context.IsClosed))
        {
            return;
        }

        lock (_native)
        {
            NativeErrors.ThrowIfFailed(NativeMethods.edgekv_rollback(Live, position), nameof(NativeMethods.edgekv_rollback));
        }

        _tokens.RemoveRange(position, _tokens.Count - position);
        if (_firstTurn > position)
        {
            _firstTurn = null;
        }
    }

    /// <summary>Takes back what a pass fed, whatever became of it; a session that cannot is of no more use.</summary>
    private void Restore(int position)
    {
        if (_disposed)
        {
            return;
        }

        try
        {
            TakeBack(position);
        }
        catch (Exception e) when (e is EdgeKVException)
        {
            _fault = $"an earlier failure could not be undone ({e.Message}) Dispose it and make another one.";
        }
    }

    private long CacheValue(NativeCacheKey key)
    {
        lock (_native)
        {
            NativeErrors.ThrowIfFailed(NativeMethods.edgekv_cache_get(Live, key, out long value), nameof(NativeMethods.edgekv_cache_get));
            return value;
        }
    }

    private unsafe ReadOnlySpan<float> LogitsOf(int index)
    {
        lock (_native)
        {
            NativeErrors.ThrowIfFailed(NativeMethods.edgekv_logits(Live, index, out float* logits), nameof(NativeMethods.edgekv_logits));
            return new ReadOnlySpan<float>(logits, Model.VocabularySize);
        }
    }

    private unsafe void SaveState(string path)
    {
        lock (_native)
        {
            fixed (int* tokens = CollectionsMarshal.AsSpan(_tokens))
            {
                NativeErrors.ThrowIfFailed(
                    NativeMethods.edgekv_state_save(Live, path, tokens, (nuint)_tokens.Count),
                    nameof(NativeMethods.edgekv_state_save));
            }
        }
    }

    private unsafe void LoadState(string path)
    {
        if (!File.Exists(path))
        {
            throw new EdgeKVException($"The saved session does not exist: {path}.");
        }

        _tokens.Clear();
        _firstTurn = null;
        _prefillTime = default;
        if (_oneChunk)
        {
            DropContext();
        }

        // A full cache of so many bytes has so many tokens at most; a compact one brings its own size.
        long tokensAtMost = new FileInfo(path).Length / Model.KvBytesPerToken(_options.CacheType);
        EnsureContext((int)Math.Min(tokensAtMost, Model.Window));
        int[] tokens = new int[Model.Window];
        nuint count;
        lock (_native)
        {
            try
            {
                fixed (int* pointer = tokens)
                {
                    NativeErrors.ThrowIfFailed(
                        NativeMethods.edgekv_state_load(Live, path, pointer, (nuint)tokens.Length, out count),
                        nameof(NativeMethods.edgekv_state_load));
                }

                if (NativeMethods.edgekv_position(Live) != (int)count)
                {
                    NativeErrors.ThrowIfFailed(NativeMethods.edgekv_clear(Live), nameof(NativeMethods.edgekv_clear));
                    throw new EdgeKVException($"The saved session {path} has a cache and {count} tokens that do not fit together.");
                }
            }
            finally
            {
                _compact = CacheValue(NativeCacheKey.Compact) != 0;
            }
        }

        _tokens.AddRange(tokens.AsSpan(0, (int)count));
    }

    private sealed class Job<T>(EdgeSession session, Func<T> work) : SessionWorker.IWorkItem
    {
        private readonly TaskCompletionSource<T> _source = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<T> Task => _source.Task;

        public void Execute()
        {
            T result = default!;
            Exception? error = null;
            try
            {
                result = work();
            }
#pragma warning disable CA1031 // handed to whoever awaits the task
            catch (Exception e)
#pragma warning restore CA1031
            {
                error = e;
            }

            // Before the task completes: who awaited it may go on at once.
            session.Exit();
            switch (error)
            {
                case null:
                    _source.SetResult(result);
                    break;
                case OperationCanceledException cancelled:
                    _source.SetCanceled(cancelled.CancellationToken);
                    break;
                default:
                    _source.SetException(error);
                    break;
            }
        }
    }
}
