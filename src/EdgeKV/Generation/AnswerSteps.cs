using System.Diagnostics;
using System.Text;
using System.Threading.Tasks.Sources;
using EdgeKV.Engine;
using EdgeKV.Native;
using EdgeKV.Scoring;
using LLama.Sampling;

namespace EdgeKV.Generation;

/// <summary>
/// The steps of one answer. Each piece is made on the context's thread and handed over without allocating: the object is its own work item, its own
/// completion and its own pool item.
/// </summary>
internal sealed class AnswerSteps : EngineWorker.IWorkItem, IValueTaskSource<bool>, IThreadPoolWorkItem, IDisposable
{
    private readonly KvContext _context;
    private readonly NativeContext _native;
    private readonly Func<KvContext, int[]> _prompt;
    private readonly GenerationOptions _options;
    private readonly CancellationToken _cancellation;
    private readonly ISamplingPipeline? _sampling;
    private readonly TextPieces _pieces;
    private readonly StringBuilder _text = new();
    private readonly List<int> _tokens = [];
    private ManualResetValueTaskSourceCore<bool> _completion = new() { RunContinuationsAsynchronously = false };
    private CancellationTokenRegistration _registration;
    private Exception? _error;
    private bool _more;
    private bool _begun;
    private bool _ending;
    private bool _failed;
    private int _start;
    private int? _pending;
    private int _limit;
    private int _promptTokens;
    private int _decoded;
    private TimeSpan _promptTime;
    private TimeSpan _decodeTime;
    private FinishReason _reason = FinishReason.Stopped;

    public AnswerSteps(KvContext context, Func<KvContext, int[]> prompt, GenerationOptions options, CancellationToken cancellation)
    {
        _context = context;
        _native = context.Native;
        _prompt = prompt;
        _options = options;
        _cancellation = cancellation;
        _pieces = new TextPieces(context.Model.Tokenizer);
        _sampling = options.Sampling ?? (options.Temperature == 0
            ? null
            : new DefaultSamplingPipeline
            {
                Temperature = options.Temperature,
                TopK = options.TopK,
                TopP = options.TopP,
                MinP = options.MinP,
                Seed = options.Seed,
            });
        _sampling?.Reset();
    }

    public string Piece { get; private set; } = string.Empty;

    /// <summary>The answer; null as long as the question has not been fed.</summary>
    public AnswerResult? Result { get; private set; }

    /// <summary>Makes the next piece; false at the end.</summary>
    public ValueTask<bool> NextAsync() => Start();

    /// <summary>Takes question and answer back, or completes them where they stay.</summary>
    public async ValueTask EndAsync()
    {
        _ending = true;
        await Start().ConfigureAwait(false);
    }

    public void Dispose()
    {
        _registration.Dispose();
        if (_options.Sampling is null)
        {
            _sampling?.Dispose();
        }
    }

    void EngineWorker.IWorkItem.Execute()
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

        // The reader goes on on a pool thread, never on the context's own.
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
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _completion.OnCompleted(continuation, state, token, flags);

    private ValueTask<bool> Start()
    {
        _completion.Reset();
        _native.Worker.Post(this);
        return new ValueTask<bool>(this, _completion.Version);
    }

    /// <summary>Feeds, samples and decodes until there is at least one whole character.</summary>
    private bool Step()
    {
        _cancellation.ThrowIfCancellationRequested();
        using (_context.Enter())
        {
            if (!_begun)
            {
                Begin();
            }

            while (_reason == FinishReason.Stopped)
            {
                if (_tokens.Count == _limit)
                {
                    return Stop(_limit == _options.MaxTokens ? FinishReason.MaxTokens : FinishReason.WindowFull);
                }

                long start = Stopwatch.GetTimestamp();
                FeedPending(_cancellation);
                int token = _sampling is null ? Greedy.Pick(_context.Logits()) : (int)_sampling.Sample(_native.Handle, -1);
                _decodeTime += Stopwatch.GetElapsedTime(start);
                if (_context.Model.IsEnd(token))
                {
                    return Stop(FinishReason.EndOfTurn);
                }

                _pending = token;
                _tokens.Add(token);
                Piece = _pieces.Next(token);
                if (Piece.Length > 0)
                {
                    _text.Append(Piece);
                    return true;
                }
            }
        }

        return false;
    }

    private void Begin()
    {
        _start = _native.Position;
        int[] prompt = _prompt(_context);
        _context.EnsureFits(prompt.Length + 1, "The context with this question");
        _promptTokens = prompt.Length;
        _limit = Math.Min(_options.MaxTokens, _context.Limit - _start - prompt.Length);
        _begun = true;
        long start = Stopwatch.GetTimestamp();
        _native.Feed(prompt, NativeLogits.Last, new WorkPart(null, 0, 1, _cancellation));
        _promptTime = Stopwatch.GetElapsedTime(start);

        // One registration for the whole answer: none per token.
        _registration = _cancellation.UnsafeRegister(static state => ((NativeContext)state!).Interrupt(), _native);
    }

    /// <summary>Ends the answer; what is left of an unfinished character is the last piece.</summary>
    private bool Stop(FinishReason reason)
    {
        _reason = reason;
        Piece = _pieces.End();
        _text.Append(Piece);
        return Piece.Length > 0;
    }

    private void FeedPending(CancellationToken cancellation)
    {
        if (_pending is { } token)
        {
            try
            {
                _native.Feed([token], NativeLogits.Last, WorkPart.Silent);
            }
            catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
            {
                throw new OperationCanceledException("The answer was stopped.", cancellation);
            }

            _pending = null;
            _decoded++;
        }
    }

    private void End()
    {
        _registration.Dispose();
        if (!_begun)
        {
            return;
        }

        bool stopped = _failed || _reason == FinishReason.Stopped;
        Result = new AnswerResult(
            _text.ToString(), [.. _tokens], _promptTokens, _promptTime, _decoded, _decodeTime, stopped ? FinishReason.Stopped : _reason);
        if (_native.Handle.IsClosed)
        {
            return;
        }

        using (_native.Enter())
        {
            _native.ResetInterrupt();
            if (_options.KeepTurn && _tokens.Count > 0 && (!stopped || _options.KeepStopped))
            {
                FeedPending(CancellationToken.None);
            }
            else
            {
                _native.Restore(_start);
            }
        }
    }
}
