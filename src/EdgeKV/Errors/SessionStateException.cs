namespace EdgeKV;

/// <summary>A call that is not possible in the session's present state: calls in the wrong order, or two at the same time.</summary>
public sealed class SessionStateException : EdgeKVException
{
    /// <inheritdoc cref="EdgeKVException(string)"/>
    public SessionStateException(string message)
        : base(message)
    {
    }

    /// <inheritdoc cref="EdgeKVException(string, Exception)"/>
    public SessionStateException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }

    /// <inheritdoc cref="EdgeKVException(string, NativeStatus, string)"/>
    public SessionStateException(string message, NativeStatus status, string function)
        : base(message, status, function)
    {
    }
}
