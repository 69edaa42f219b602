namespace EdgeKV;

/// <summary>More tokens than the model's window or the session's context can hold: a shorter text or a larger context helps.</summary>
public sealed class ContextWindowException : EdgeKVException
{
    /// <summary>A text that is too long, found before it was fed.</summary>
    /// <param name="message">The thing, how long it is, how long it may be, what helps.</param>
    /// <param name="length">Tokens that were to be held.</param>
    /// <param name="limit">Tokens that can be held.</param>
    public ContextWindowException(string message, int length, int limit)
        : base(message)
    {
        Length = length;
        Limit = limit;
    }

    /// <inheritdoc cref="EdgeKVException(string, NativeStatus, string)"/>
    public ContextWindowException(string message, NativeStatus status, string function)
        : base(message, status, function)
    {
    }

    /// <summary>Tokens that were to be held; 0 when the native library found it, whose message then says more.</summary>
    public int Length { get; }

    /// <summary>Tokens that can be held; 0 when the native library found it.</summary>
    public int Limit { get; }
}
