using EdgeKV.Engine;

namespace EdgeKV.Generation;

/// <summary>An answer as it is generated: pieces of text, one or more whole characters each. Can be enumerated once.</summary>
public sealed class Answer : IAsyncEnumerable<string>
{
    private readonly Func<Task<AnswerScope>> _open;
    private readonly Func<KvContext, AnswerPrompt> _prompt;
    private readonly GenerationOptions _options;
    private readonly CancellationToken _cancellation;
    private int _enumerated;
    private AnswerResult? _result;

    /// <param name="open">Called when the enumeration begins; the result is disposed when it has ended.</param>
    /// <param name="prompt">Makes what is fed first, on the context's thread.</param>
    /// <param name="options">Length and sampling.</param>
    /// <param name="cancellation">Stops the answer.</param>
    internal Answer(
        Func<Task<AnswerScope>> open, Func<KvContext, AnswerPrompt> prompt, GenerationOptions options, CancellationToken cancellation)
    {
        _open = open;
        _prompt = prompt;
        _options = options;
        _cancellation = cancellation;
    }

    /// <summary>The answer as a whole. There once the enumeration has ended, however it ended, and the question had been fed.</summary>
    /// <exception cref="InvalidOperationException">The enumeration has not ended, or it failed before the question was fed.</exception>
    public AnswerResult Result => _result ?? throw new InvalidOperationException("The answer has no result yet: enumerate it to its end first.");

    /// <summary>Whether there is a <see cref="Result"/>.</summary>
    public bool HasResult => _result is not null;

    /// <inheritdoc/>
    public IAsyncEnumerator<string> GetAsyncEnumerator(CancellationToken cancellationToken = default) =>
        Interlocked.Exchange(ref _enumerated, 1) == 0
            ? Generate(cancellationToken)
            : throw new InvalidOperationException("An answer can be enumerated once: ask again to generate another one.");

    private async IAsyncEnumerator<string> Generate(CancellationToken second)
    {
        using CancellationTokenSource? both = second.CanBeCanceled && _cancellation.CanBeCanceled
            ? CancellationTokenSource.CreateLinkedTokenSource(_cancellation, second)
            : null;
        CancellationToken cancellation = both?.Token ?? (second.CanBeCanceled ? second : _cancellation);
        cancellation.ThrowIfCancellationRequested();
        using AnswerScope scope = await _open().ConfigureAwait(false);
        using AnswerSteps steps = new(scope.Context, _prompt, _options, cancellation);
        try
        {
            while (await steps.NextAsync().ConfigureAwait(false))
            {
                yield return steps.Piece;
            }
        }
        finally
        {
            await steps.EndAsync().ConfigureAwait(false);
            _result = steps.Result;
        }
    }
}
