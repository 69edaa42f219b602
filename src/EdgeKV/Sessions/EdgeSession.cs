using System.Diagnostics;
using EdgeKV.Compression;
using EdgeKV.Engine;
using EdgeKV.Generation;
using EdgeKV.Models;
using EdgeKV.Models.Chat;
using EdgeKV.Native;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Profiles;
using EdgeKV.Reading;
using EdgeKV.Scoring;
using LLama;

namespace EdgeKV.Sessions;

/// <summary>
/// The short way to read a document, compress it and ask about it: a <see cref="KvContext"/> with a LLamaSharp context of its own, made when it is needed. Does one
/// thing at a time; a second call meanwhile throws a <see cref="SessionStateException"/>.
/// </summary>
/// <remarks>
/// Work that fails or is cancelled leaves the session as it was before. Disposing while work runs stops it and waits for that.
/// </remarks>
public sealed class EdgeSession : IDisposable, IAsyncDisposable
{
    private readonly SessionOptions _options;
    private readonly ChatFrame _chat;
    private readonly SessionContext _context;
    private string? _running;
    private volatile bool _disposed;

    internal EdgeSession(EdgeModel model, SessionOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(options.ContextSize);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.BatchSize, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(options.Threads);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.Threads, SessionOptions.MostThreads);

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
        _chat = options is { SystemPrompt: null, Chat: null }
            ? model.Chat
            : ChatFrame.Of(model.Tokenizer, model.Handle, model.Path, options.SystemPrompt, options.Chat);
        _context = new SessionContext(model, options, _chat);
        options.Profile?.EnsureFits(model);
        Profile = options.LearnedScores ? options.Profile ?? model.Profile : null;
        if (options.ContextSize > 0)
        {
            _context.Make(options.ContextSize, positions: 0);
        }
    }

    /// <summary>The model that the session asks.</summary>
    public EdgeModel Model { get; }

    /// <summary>What the session predicts scores by as it reads; null: it computes none.</summary>
    public ScoreProfile? Profile { get; }

    /// <summary>LLamaSharp's context; null as long as the session has none, because it chooses the size by the document. Another one after a longer document was read.</summary>
    public LLamaContext? Context => _context.Kv?.Context;

    /// <summary>EdgeKV's view of <see cref="Context"/>; null as long as there is none.</summary>
    public KvContext? Kv => _context.Kv;

    /// <summary>The position that the next token gets: tokens that were fed and not taken back.</summary>
    public int Position => _context.Position;

    /// <summary>What the last prefill took.</summary>
    public TimeSpan PrefillTime { get; private set; }

    /// <summary>
    /// Positions that the cache can come to hold: the cells of a full cache, the model's window for a compact one. Of a session that chooses
    /// its size by the document, the window as long as there is no document.
    /// </summary>
    public int Limit => _context.Limit;

    /// <summary>The cache as it is now; also while an answer is being read.</summary>
    /// <exception cref="ObjectDisposedException">The session has been disposed.</exception>
    public CacheState Cache
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return _context.State;
        }
    }

    /// <summary>
    /// Reads a document: the beginning of a user's turn in the model's chat template. Questions follow in the same turn.
    /// </summary>
    /// <param name="document">The document, read as it is: a question follows its last character, so let it end with a blank line.</param>
    /// <param name="progress">Gets the share done, 0 to 1.</param>
    /// <param name="cancellationToken">Stops the work; the session is then as empty as before and may be used again.</param>
    /// <exception cref="ContextWindowException">The document is longer than the cache can hold.</exception>
    /// <exception cref="UnsupportedModelException">The model has no chat template, or one that llama.cpp cannot apply.</exception>
    /// <exception cref="OutOfKvMemoryException">Not enough memory for the cache.</exception>
    /// <exception cref="SessionStateException">The session has read something already, or work is running.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The session or the model has been disposed.</exception>
    public Task PrefillAsync(string document, IProgress<double>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(document);
        return RunAsync("prefill", () => PrefillAsync(_chat.Open(document), progress, cancellationToken), cancellationToken);
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
    public Task PrefillAsync(ReadOnlyMemory<int> tokens, IProgress<double>? progress = null, CancellationToken cancellationToken = default) =>
        RunAsync("prefill", () => PrefillAsync(tokens.ToArray(), progress, cancellationToken), cancellationToken);

    /// <inheritdoc cref="KvContext.Decode"/>
    /// <exception cref="SessionStateException">Work is running.</exception>
    public ReadOnlySpan<float> Decode(scoped ReadOnlySpan<int> tokens, bool allLogits = false)
    {
        using Running _ = Enter("decode");
        return EnsureContext(Math.Max(1, tokens.Length)).Decode(tokens, allLogits);
    }

    /// <inheritdoc cref="KvContext.Logits"/>
    public ReadOnlySpan<float> Logits(int index = -1)
    {
        using Running _ = Enter("read logits");
        return Live.Logits(index);
    }

    /// <inheritdoc cref="KvContext.Rollback"/>
    public void Rollback(int position)
    {
        using Running _ = Enter("roll back");
        ArgumentOutOfRangeException.ThrowIfNegative(position);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(position, Position);
        _context.Kv?.Rollback(position);
    }

    /// <summary>Forgets everything that was fed. The cache is full again, and the next document may be longer than the last.</summary>
    /// <exception cref="SessionStateException">Work is running.</exception>
    /// <exception cref="ObjectDisposedException">The session has been disposed.</exception>
    public void Clear()
    {
        using Running _ = Enter("clear");
        Reset();
    }

    /// <inheritdoc cref="KvContext.ScoreAsync(ScoreRequest, IProgress{double}?, CancellationToken)"/>
    public Task<AttentionScores> ScoreAsync(
        ScoreRequest request, IProgress<double>? progress = null, CancellationToken cancellationToken = default) =>
        ScoreAsync(request, scoreMemory: 0, progress, cancellationToken);

    /// <inheritdoc cref="KvContext.ScoreAsync(ScoreRequest, long, IProgress{double}?, CancellationToken)"/>
    public Task<AttentionScores> ScoreAsync(
        ScoreRequest request, long scoreMemory, IProgress<double>? progress, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        return RunAsync("score", () => LiveAfterReading("score").ScoreAsync(request, scoreMemory, progress, cancellationToken), cancellationToken);
    }

    /// <inheritdoc cref="KvContextCompression.CompressAsync(KvContext, Budget, CompressOptions?, IProgress{CompressionProgress}?, CancellationToken)"/>
    public Task<CompressionReport> CompressAsync(
        Budget budget, CompressOptions? options = null, IProgress<CompressionProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(budget);
        return RunAsync(
            "compress",
            () => LiveAfterReading("compress").CompressAsync(budget, options, progress, _options.Profile, PrefillTime, cancellationToken),
            cancellationToken);
    }

    /// <inheritdoc cref="KvContextCompression.CompressAsync(KvContext, ICompressionPolicy, CompressOptions?, IProgress{CompressionProgress}?, CancellationToken)"/>
    public Task<CompressionReport> CompressAsync(
        ICompressionPolicy policy, CompressOptions? options = null, IProgress<CompressionProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(policy);
        return RunAsync(
            "compress",
            () => LiveAfterReading("compress").CompressAsync(policy, options, progress, _options.Profile, PrefillTime, cancellationToken),
            cancellationToken);
    }

    /// <inheritdoc cref="KvContextCompression.ApplyAsync(KvContext, CompressionPlan, CompressOptions?, IProgress{CompressionProgress}?, CancellationToken)"/>
    public Task<CompressionReport> ApplyAsync(
        CompressionPlan plan, CompressOptions? options = null, IProgress<CompressionProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(plan);
        return RunAsync("compress", () => LiveAfterReading("compress").ApplyAsync(plan, options, progress, PrefillTime, cancellationToken), cancellationToken);
    }

    /// <summary>
    /// Reads a document, the beginning of a user's turn in the model's chat template, and compresses it meanwhile. The window alone bounds the document, not
    /// <see cref="SessionOptions.ContextSize"/>, and with <see cref="ReadingOptions.Rerotate"/> not even that. A document of one chunk is compressed as by
    /// <see cref="CompressAsync(ICompressionPolicy, CompressOptions?, IProgress{CompressionProgress}?, CancellationToken)"/>.
    /// </summary>
    /// <param name="document">The document, read as it is: a question follows its last character, so let it end with a blank line.</param>
    /// <param name="policy">Ranks rows by learned scores.</param>
    /// <param name="options">How it is carried out; null for the defaults.</param>
    /// <param name="progress">Gets the share done, 0 to 1.</param>
    /// <param name="cancellationToken">Stops the work; the session is then as empty as before and may be used again.</param>
    public Task<CompressionReport> CompressWhileReadingAsync(
        string document, GlobalRanking policy, ReadingOptions? options = null, IProgress<double>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(document);
        ArgumentNullException.ThrowIfNull(policy);
        return ReadAsync(() => _chat.Open(document), policy, options ?? new ReadingOptions(), progress, cancellationToken);
    }

    /// <inheritdoc cref="KvContextReading.CompressWhileReadingAsync"/>
    public Task<CompressionReport> CompressWhileReadingAsync(
        ReadOnlyMemory<int> tokens, GlobalRanking policy, ReadingOptions? options = null, IProgress<double>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(policy);
        return ReadAsync(() => tokens, policy, options ?? new ReadingOptions(), progress, cancellationToken);
    }

    /// <inheritdoc cref="KvContextGeneration.GenerateAsync(KvContext, string, GenerationOptions?, CancellationToken)"/>
    /// <exception cref="SessionStateException">Work is running.</exception>
    public Answer GenerateAsync(string question, GenerationOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(question);
        options ??= new GenerationOptions();
        options.Validate();
        return new Answer(
            () => OpenAsync(() => _chat.Ask([], ConversationTurn.None, question, string.Empty).Length),
            view => KvContextGeneration.Question(view, question, options),
            options,
            cancellationToken);
    }

    /// <inheritdoc cref="KvContextGeneration.GenerateAsync(KvContext, ReadOnlyMemory{int}, GenerationOptions?, CancellationToken)"/>
    /// <exception cref="SessionStateException">Work is running.</exception>
    public Answer GenerateAsync(ReadOnlyMemory<int> tokens, GenerationOptions? options = null, CancellationToken cancellationToken = default)
    {
        KvContextGeneration.ThrowIfNone(tokens);
        options ??= new GenerationOptions();
        options.Validate();
        return new Answer(() => OpenAsync(() => tokens.Length), _ => new AnswerPrompt(tokens.ToArray()), options, cancellationToken);
    }

    /// <summary>Stops what is running, waits for that, and frees the cache.</summary>
    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            _context.Dispose();
        }
    }

    /// <summary>As <see cref="Dispose"/>, without blocking the caller while work is stopped.</summary>
    public ValueTask DisposeAsync() => new(Task.Run(Dispose));

    /// <summary>The context, made or made larger for so many tokens where the session has none yet or chooses its size.</summary>
    internal KvContext EnsureContext(int tokens)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        return _context.Ensure(tokens);
    }

    internal StatePlace StatePlace => _context.StatePlace;

    /// <summary>Empties the context, where there is one, to load another state into it.</summary>
    internal void Reset()
    {
        _context.Clear();
        PrefillTime = default;
    }

    private KvContext Live
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return _context.Kv ?? throw new SessionStateException("The session has read nothing yet: prefill first.");
        }
    }

    internal KvContext LiveAfterReading(string what) => Position > 0
        ? Live
        : throw new SessionStateException($"Cannot {what}: the session has read nothing yet. Prefill first.");

    private async Task PrefillAsync(int[] tokens, IProgress<double>? progress, CancellationToken cancellation)
    {
        ThrowIfNotEmpty();
        KvContextGeneration.ThrowIfNone(tokens);
        if (_options.ContextSize == 0)
        {
            KvContextReading.EnsureInWindow(Model, tokens.Length);
        }

        KvContext kv = EnsureContext(tokens.Length);
        PrefillTime = await kv.RunAsync(
            () =>
            {
                kv.EnsureFits(tokens.Length, "The document");
                long start = Stopwatch.GetTimestamp();
                kv.Native.Feed(tokens, NativeLogits.Last, WorkPart.Whole(progress, cancellation));
                return Stopwatch.GetElapsedTime(start);
            },
            cancellation).ConfigureAwait(false);
    }

    private Task<CompressionReport> ReadAsync(
        Func<ReadOnlyMemory<int>> read, GlobalRanking policy, ReadingOptions options, IProgress<double>? progress, CancellationToken cancellation)
    {
        options.Validate();
        return RunAsync(
            "read",
            async () =>
            {
                ReadOnlyMemory<int> tokens = read();
                ThrowIfNotEmpty();
                int used = tokens.Length;
                if (options.Rerotate && used > 0)
                {
                    used = StreamingReader.PositionsUsed(Model, _options.CacheType, used, policy, options);
                }
                else
                {
                    KvContextReading.EnsureInWindow(Model, used);
                }

                KvContextGeneration.ThrowIfNone(tokens);
                try
                {
                    // As many positions as a full cache would have had: models that choose by them are then the same model.
                    KvContext kv = _context.Make(Math.Min(options.ChunkTokens, tokens.Length), Math.Max(_context.FullSize(used), used));
                    CompressionReport report = await kv.CompressWhileReadingAsync(tokens, policy, options, progress, cancellation).ConfigureAwait(false);
                    PrefillTime = report.Prefill;
                    return report;
                }
                catch
                {
                    // A context for one chunk is of no use to other work.
                    _context.Dispose();
                    PrefillTime = default;
                    throw;
                }
            },
            cancellation);
    }

    private async Task<AnswerScope> OpenAsync(Func<int> tokens)
    {
        Running running = Enter("generate");
        try
        {
            KvContext kv = Kv is { } there && Position > 0 ? there : await Task.Run(() => EnsureContext(tokens())).ConfigureAwait(false);
            return new AnswerScope(kv, running.Dispose);
        }
        catch
        {
            running.Dispose();
            throw;
        }
    }

    private void ThrowIfNotEmpty()
    {
        if (Position > 0)
        {
            throw new SessionStateException(
                $"Cannot prefill: the session has read {Position} tokens already. Clear it, roll it back to 0, or make another one.");
        }
    }

    private Running Enter(string what)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        return Interlocked.CompareExchange(ref _running, what, null) is { } other
            ? throw new SessionStateException($"Cannot {what} now: the session is busy ({other}). It does one thing at a time.")
            : new Running(this);
    }

    internal Task<bool> RunAsync(string what, Func<Task> work, CancellationToken cancellation) => RunAsync(
        what,
        async () =>
        {
            await work().ConfigureAwait(false);
            return true;
        },
        cancellation);

    private Task<T> RunAsync<T>(string what, Func<Task<T>> work, CancellationToken cancellation)
    {
        if (cancellation.IsCancellationRequested)
        {
            return Task.FromCanceled<T>(cancellation);
        }

        Running running = Enter(what);
        return Task.Run(async () =>
        {
            using (running)
            {
                return await work().ConfigureAwait(false);
            }
        });
    }

    // What the session does; it can do something else once this is disposed.
    private sealed class Running(EdgeSession session) : IDisposable
    {
        public void Dispose() => Volatile.Write(ref session._running, null);
    }
}
