namespace EdgeKV.Cli.Commands;

/// <summary>
/// Counts tokens for work that may be left behind when it is cancelled. After <see cref="Dispose"/>, which waits for a text that is being counted, nothing is counted any more, so
/// that what counts can be freed.
/// </summary>
/// <param name="count">Counts a text's tokens.</param>
/// <param name="ct">Stops the work at its next text.</param>
internal sealed class TokenCounter(Func<string, int> count, CancellationToken ct) : IDisposable
{
    private readonly Lock _counting = new();
    private bool _isDisposed;

    /// <summary>Tokens of a text.</summary>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    /// <exception cref="ObjectDisposedException">Disposed.</exception>
    public int Count(string text)
    {
        lock (_counting)
        {
            ct.ThrowIfCancellationRequested();
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            return count(text);
        }
    }

    public void Dispose()
    {
        lock (_counting)
        {
            _isDisposed = true;
        }
    }
}
