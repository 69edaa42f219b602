using System.Buffers;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text;
using System.Threading.Tasks.Sources;
using EdgeKV.Generation;
using EdgeKV.Native;

namespace EdgeKV.Sessions;

public sealed partial class EdgeSession
{
    /// <summary>
    /// Asks about what the session has read and streams the answer. By default question and answer are taken back afterwards, so that many
    /// questions can be asked over one context.
    /// </summary>
    /// <param name="question">The question; it ends the user's turn which the document began.</param>
    /// <param name="options">Length and sampling of the answer; null for the defaults.</param>
    /// <param name="cancellationToken">Stops the answer; question and answer are then taken back.</param>
    /// <returns>Pieces of text, one or more whole characters each.</returns>
    /// <exception cref="SessionStateException">Nothing has been read, or work is running.</exception>
    /// <exception cref="ContextWindowException">The question does not fit on top of the context.</exception>
    /// <exception cref="UnsupportedModelException">The model has no chat template, or one that llama.cpp does not know.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The session or the model has been disposed.</exception>
    public IAsyncEnumerable<string> GenerateAsync(
        string question,
        GenerationOptions? options = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(question);
        options ??= new GenerationOptions();
        options.Validate();
        return Generate(null, question, options, cancellationToken);
    }

    /// <summary>Continues given tokens, with no chat template around them; else as for a question.</summary>
    /// <param name="tokens">Fed on top of what the session has read; at least one.</param>
    /// <param name="options">Length and sampling; its AnswerPrefix is not used. Null for the defaults.</param>
    /// <param name="cancellationToken">Stops the generation; tokens and continuation are then taken back.</param>
    /// <returns>Pieces of text, one or more whole characters each.</returns>
    /// <exception cref="SessionStateException">Work is running.</exception>
    /// <exception cref="ContextWindowException">The tokens do not fit.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The session or the model has been disposed.</exception>
    public IAsyncEnumerable<string> GenerateAsync(
        ReadOnlyMemory<int> tokens,
        GenerationOptions? options = null,
        CancellationToken cancellationToken = default)
    {
        ThrowIfEmpty(tokens.Span, nameof(tokens));
        options ??= new GenerationOptions();
        options.Validate();
        return Generate(tokens, string.Empty, options, cancellationToken);
    }

    private async IAsyncEnumerable<string> Generate(
        ReadOnlyMemory<int>? tokens,
        string question,
        GenerationOptions options,
        [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        Enter("generate");
        Generation generation;
        try
        {
            if (tokens is null)
            {
                ThrowIfEmptySession("generate");
            }

            generation = new Generation(this, tokens, question, options, cancellationToken);
        }
        catch
        {
            Exit();
            throw;
        }

        try
        {
            while (await generation.NextAsync().ConfigureAwait(false))
            {
                yield return generation.Piece;
            }
        }
        finally
        {
            try
            {
                await generation.EndAsync().ConfigureAwait(false);
            }
            finally
            {
                generation.Dispose();
                Exit();
            }
        }
    }

    /// <summary>
    /// One answer. Each piece is made on the session's thread and handed over without allocating: the object is its own work item, its own
    /// completion and its own pool item.
    /// </summary>
    private sealed class Generation : SessionWorker.IWorkItem, IValueTaskSource<bool>, IThreadPoolWorkItem, IDisposable
    {
        private readonly EdgeSession _session;
        private readonly ReadOnlyMemory<int>? _given;
        private readonly string _question;
        private readonly GenerationOptions _options;
        private readonly CancellationToken _cancellation;
        private readonly SamplerHandle _sampler;
        private readonly Decoder _decoder = Encoding.UTF8.GetDecoder();
        private readonly ArrayBufferWriter<byte> _bytes = new(256);
        private readonly int _start;
        private ManualResetValueTaskSourceCore<bool> _completion = new() { RunContinuationsAsynchronously = false };
        private CancellationTokenRegistration _registration;
        private char[] _characters = new char[256];
        private Exception? _error;
        private bool _more;
        private bool _begun;
        private bool _ending;
        private bool _failed;
        private int? _pending;
        private int _limit;
        private int _promptTokens;
        private int _generated;
        private int _decoded;
        private TimeSpan _promptTime;
        private TimeSpan _decodeTime;
        private StopReason _reason = StopReason.Stopped;

        public Generation(
            EdgeSession session,
            ReadOnlyMemory<int>? given,
            string question,
            GenerationOptions options,
            CancellationToken cancellation)
        {
            _session = session;
            _given = given;
            _question = question;
            _options = options;
            _cancellation = cancellation;
            _start = session.Position;
            _sampler = SamplerHandle.Create(options.Temperature, options.TopK, options.TopP, options.MinP, options.Seed);
        }

        public string Piece { get; private set; } = string.Empty;

        /// <summary>Makes the next piece; false at the end.</summary>
        public ValueTask<bool> NextAsync() => Start();

        /// <summary>Takes the turn back, or completes it where it stays.</summary>
        public async ValueTask EndAsync()
        {
            _ending = true;
            await Start().ConfigureAwait(false);
        }

        public void Dispose()
        {
            _registration.Dispose();
            _sampler.Dispose();
        }

        void SessionWorker.IWorkItem.Execute()
        {
            try
            {
                if (_ending)
                {
                    End();
                    _more = false;
                }
                else
                {
                    _more = Step();
                }
            }
#pragma warning disable CA1031 // handed to whoever awaits the next piece
            catch (Exception e)
#pragma warning restore CA1031
            {
                _failed = true;
                _error = e;
            }

            // The reader goes on on a pool thread, never on the session's own.
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }

        void IThreadPoolWorkItem.Execute()
        {
            if (_error is { } error)
            {
                _error = null;
                _completion.SetException(error);
            }
            else
            {
                _completion.SetResult(_more);
            }
        }

        bool IValueTaskSource<bool>.GetResult(short token) => _completion.GetResult(token);

        ValueTaskSourceStatus IValueTaskSource<bool>.GetStatus(short token) => _completion.GetStatus(token);

        void IValueTaskSource<bool>.OnCompleted(
            Action<object?> continuation,
            object? state,
            short token,
            ValueTaskSourceOnCompletedFlags flags) => _completion.OnCompleted(continuation, state, token, flags);

        private ValueTask<bool> Start()
        {
            _completion.Reset();
            _session._worker.Post(this);
            return new ValueTask<bool>(this, _completion.Version);
        }

        private void Begin()
        {
            _begun = true;
            ReadOnlyMemory<int> prompt = _given ?? Question();
            _session.EnsureContext(prompt.Length);
            _session.EnsureFits(prompt.Length + 1, "The context with this question");
            _promptTokens = prompt.Length;
            _limit = Math.Min(_options.MaxTokens, _session.Limit - _session.Position - prompt.Length);
            long start = Stopwatch.GetTimestamp();
            _session.Feed(prompt.Span, NativeLogits.Last, progress: null, _cancellation);
            _promptTime = Stopwatch.GetElapsedTime(start);
            ContextHandle context = _session.Live;
            _registration = _cancellation.UnsafeRegister(static state => ((ContextHandle)state!).Interrupt(), context);
        }

        private int[] Question() =>
            _session.Model.TokenizeQuestion(_question, _options.AnswerPrefix, newTurn: _session._firstTurn is not null);

        /// <summary>Feeds, samples and decodes until there is at least one whole character.</summary>
        private bool Step()
        {
            _cancellation.ThrowIfCancellationRequested();
            ObjectDisposedException.ThrowIf(_session._disposed, _session);
            if (!_begun)
            {
                Begin();
            }

            while (_reason == StopReason.Stopped)
            {
                if (_generated == _limit)
                {
                    return Stop(_limit == _options.MaxTokens ? StopReason.MaxTokens : StopReason.WindowFull);
                }

                long start = Stopwatch.GetTimestamp();
                FeedPending();
                int token = _session.Sample(_sampler);
                _decodeTime += Stopwatch.GetElapsedTime(start);
                if (_session.Model.IsEnd(token))
                {
                    return Stop(StopReason.EndOfTurn);
                }

                _pending = token;
                _generated++;
                if (Decode(token))
                {
                    return true;
                }
            }

            return false;
        }

        /// <summary>Ends the answer; what is left of an unfinished character is the last piece.</summary>
        private bool Stop(StopReason reason)
        {
            _reason = reason;
            int count = _decoder.GetChars([], _characters, flush: true);
            Piece = count == 0 ? string.Empty : new string(_characters, 0, count);
            return count > 0;
        }

        private bool Decode(int token)
        {
            _bytes.ResetWrittenCount();
            _bytes.Advance(_session.Model.TokenText(token, special: false, _bytes));
            int most = _decoder.GetCharCount(_bytes.WrittenSpan, flush: false);
            if (most > _characters.Length)
            {
                _characters = new char[most];
            }

            int count = _decoder.GetChars(_bytes.WrittenSpan, _characters, flush: false);
            if (count == 0)
            {
                return false;
            }

            Piece = new string(_characters, 0, count);
            return true;
        }

        private void FeedPending()
        {
            if (_pending is { } token)
            {
                // The registration of the whole answer interrupts it: none per token.
                _session.Feed([token], NativeLogits.Last, callback: null, _cancellation);
                _pending = null;
                _decoded++;
            }
        }

        private void End()
        {
            _registration.Dispose();
            if (_begun)
            {
                _session.LastGeneration = new GenerationStatistics(
                    _promptTokens, _promptTime, _generated, _decoded, _decodeTime, _failed ? StopReason.Stopped : _reason);
            }

            if (_session._disposed)
            {
                return;
            }

            if (_options.KeepTurn && !_failed && _generated > 0)
            {
                if (_pending is { } token)
                {
                    _session.Feed([token], NativeLogits.Last, callback: null, CancellationToken.None);
                }

                _session._firstTurn ??= _given is null ? _session.Position : null;
                return;
            }

            _session.Restore(_start);
        }
    }

    private int Sample(SamplerHandle sampler)
    {
        lock (_native)
        {
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_sampler_sample(sampler, Live, out int token), nameof(NativeMethods.edgekv_sampler_sample));
            return token;
        }
    }
}
