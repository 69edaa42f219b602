using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using System.Threading.Tasks.Sources;
using EdgeKV.Engine;
using EdgeKV.Models.Chat;
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
    private readonly Func<KvContext, AnswerPrompt> _makePrompt;
    private readonly GenerationOptions _options;
    private readonly CancellationToken _cancellation;
    private readonly TextPieces _pieces;
    private readonly StringBuilder _text = new();
    private readonly List<int> _tokens = [];
    private ManualResetValueTaskSourceCore<bool> _completion = new() { RunContinuationsAsynchronously = false };
    private CancellationTokenRegistration _registration;
    private AnswerPrompt? _prompt;
    private ISamplingPipeline? _sampling;
    private StopTexts? _stops;
    private Exception? _error;
    private bool _more;
    private bool _ending;
    private bool _failed;
    private int _start;
    private int _limit;
    private int _decoded;
    private int _fed;

    // Tokens from the first on that were fed as they are; behind them are those of a text that was cut.
    private int _asFed = int.MaxValue;
    private bool _isChanged;
    private TimeSpan _promptTime;
    private TimeSpan _decodeTime;
    private FinishReason _reason = FinishReason.Stopped;

    public AnswerSteps(KvContext context, Func<KvContext, AnswerPrompt> prompt, GenerationOptions options, CancellationToken cancellation)
    {
        _context = context;
        _native = context.Native;
        _makePrompt = prompt;
        _options = options;
        _cancellation = cancellation;
        _pieces = new TextPieces(context.Model.Tokenizer, options.WriteControlTokens);
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
            EnsureUnchanged(_prompt ?? Begin());

            while (_reason == FinishReason.Stopped)
            {
                if (_tokens.Count == _limit)
                {
                    return Stop(_limit == _options.MaxTokens ? FinishReason.MaxTokens : FinishReason.WindowFull);
                }

                long start = Stopwatch.GetTimestamp();
                FeedPicked(_cancellation);
                int token = _sampling is null ? Greedy.Pick(_context.Logits()) : Sample(_sampling);
                _decodeTime += Stopwatch.GetElapsedTime(start);
                if (_context.Model.IsEnd(token) || _stops?.Contains(token) == true)
                {
                    return Stop(FinishReason.EndOfTurn);
                }

                _tokens.Add(token);
                string piece = _pieces.Next(token);
                Piece = _stops?.Next(piece) ?? piece;
                _text.Append(Piece);
                if (_stops?.IsFound == true)
                {
                    CutAtText();
                    _reason = FinishReason.EndOfTurn;
                }

                if (Piece.Length > 0)
                {
                    return true;
                }
            }
        }

        return false;
    }

    private AnswerPrompt Begin()
    {
        _start = _native.Position;
        AnswerPrompt prompt = _makePrompt(_context);
        _context.EnsureFits(prompt.Tokens.Length + 1, "The context with this question");
        _stops = StopTexts.Of([.. _options.Stops, .. prompt.Chat?.Stops ?? []], _context.Model.Tokenizer);
        _sampling = SamplingFor(prompt);
        _sampling?.Reset();
        _limit = Math.Min(_options.MaxTokens, _context.Limit - _start - prompt.Tokens.Length);
        _prompt = prompt;
        long start = Stopwatch.GetTimestamp();
        _native.Feed(prompt.Tokens, NativeLogits.Last, new WorkPart(null, 0, 1, _cancellation));
        _promptTime = Stopwatch.GetElapsedTime(start);

        // One registration for the whole answer: none per token.
        _registration = _cancellation.UnsafeRegister(static state => ((NativeContext)state!).Interrupt(), _native);
        return prompt;
    }

    /// <summary>Picks the tokens; null: always the likeliest.</summary>
    private ISamplingPipeline? SamplingFor(AnswerPrompt prompt)
    {
        // LLamaSharp's binding of lazy grammars lacks an argument of llama.cpp's function, so that calls that the model may or may not make are free text.
        return _options.Sampling ?? (prompt.Chat?.Grammar is { IsLazy: false } grammar ? new GrammarSampling(grammar, HeaderOf(prompt), _options)
            : _options is { Temperature: 0, HasPenalties: false } ? null
            : new DefaultSamplingPipeline
            {
                Temperature = _options.Temperature,
                TopK = _options.TopK,
                TopP = _options.TopP,
                MinP = _options.MinP,
                FrequencyPenalty = _options.FrequencyPenalty,
                PresencePenalty = _options.PresencePenalty,
                PenaltyCount = GenerationOptions.PenaltyTokens,
                Seed = _options.Seed,
            });
    }

    // llama.cpp's samplers sort by logits and assert on what they find: NaN must not get there.
    private int Sample(ISamplingPipeline sampling)
    {
        ModelNumbers.EnsureDrawable(_context.Logits());
        return (int)sampling.Sample(_native.Handle, -1);
    }

    private int[] HeaderOf(AnswerPrompt prompt)
    {
        Tokenizer tokenizer = _context.Model.Tokenizer;
        return [.. tokenizer.Tokenize(prompt.Chat!.AnswerHeader, parseSpecial: true), .. tokenizer.Tokenize(prompt.Prefix)];
    }

    /// <summary>Ends the answer; what was held back of it is the last piece.</summary>
    private bool Stop(FinishReason reason)
    {
        _reason = reason;
        Piece = Rest();
        _text.Append(Piece);
        return Piece.Length > 0;
    }

    private string Rest() => _stops?.End() ?? string.Empty;

    /// <summary>Leaves the tokens of the text alone: those of the text that ended it go, and what the first of them has of the answer becomes tokens of its own.</summary>
    private void CutAtText()
    {
        string text = _text.ToString();
        Tokenizer tokenizer = _context.Model.Tokenizer;
        int count = _tokens.Count;
        while (count > 0 && TextOf(count).Length > text.Length)
        {
            count--;
        }

        string rest = text[TextOf(count).Length..];
        _tokens.RemoveRange(count, _tokens.Count - count);
        _asFed = count;
        _tokens.AddRange(tokenizer.Tokenize(rest, parseSpecial: _options.WriteControlTokens));

        string TextOf(int tokens) => tokenizer.Detokenize(CollectionsMarshal.AsSpan(_tokens)[..tokens], _options.WriteControlTokens);
    }

    /// <summary>Feeds the tokens that were picked and are not in the context yet.</summary>
    private void FeedPicked(CancellationToken cancellation)
    {
        while (_fed < _tokens.Count)
        {
            try
            {
                _native.Feed([_tokens[_fed]], NativeLogits.Last, WorkPart.Silent);
            }
            catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
            {
                throw new OperationCanceledException("The answer was stopped.", cancellation);
            }

            _fed++;
            _decoded++;
        }
    }

    private void End()
    {
        _registration.Dispose();
        if (_prompt is not { } prompt)
        {
            return;
        }

        if (_reason == FinishReason.Stopped)
        {
            _text.Append(Rest());
        }

        bool stopped = _failed || _reason == FinishReason.Stopped;
        try
        {
            if (!_native.Handle.IsClosed)
            {
                CloseTurn(prompt, keep: _options.KeepTurn && (!stopped || (_options.KeepStopped && _tokens.Count > 0)));
            }
        }
        finally
        {
            Result = new AnswerResult(
                _text.ToString(), [.. _tokens], prompt.Tokens.Length, _promptTime, _decoded, _decodeTime, stopped ? FinishReason.Stopped : _reason)
            {
                Chat = prompt.Chat,
                Written = prompt.Chat is null ? string.Empty : prompt.Prefix + _context.Model.Detokenize(CollectionsMarshal.AsSpan(_tokens), special: true, wholeCharacters: true),
            };
        }
    }

    /// <summary>Leaves the turn in the context, with all its tokens, or takes it back.</summary>
    private void CloseTurn(AnswerPrompt prompt, bool keep)
    {
        using (_native.Enter())
        {
            _native.ResetInterrupt();
            if (_isChanged || (!_failed && _native.Position != FedTo(prompt)))
            {
                // Somebody else's tokens are not taken back.
                return;
            }

            if (keep)
            {
                _fed = Math.Min(_fed, _asFed);
                _native.Restore(FedTo(prompt));
                FeedPicked(CancellationToken.None);
            }
            else
            {
                _native.Restore(_start);
            }
        }
    }

    private int FedTo(AnswerPrompt prompt) => _start + prompt.Tokens.Length + _fed;

    /// <summary>Another view of the context may have emptied it, or fed it, between two pieces.</summary>
    private void EnsureUnchanged(AnswerPrompt prompt)
    {
        int position = _native.Position;
        _isChanged = position != FedTo(prompt);
        if (_isChanged)
        {
            throw new SessionStateException(
                $"The context was changed while an answer was generated in it: it has {position} tokens, and the answer had come to {FedTo(prompt)}. The answer ends here.");
        }
    }
}
