namespace EdgeKV;

/// <summary>Not enough memory for a cache or for a score pass: a smaller context, a smaller cache type, a smaller score memory or another device helps.</summary>
public sealed class OutOfKvMemoryException : EdgeKVException
{
    /// <inheritdoc cref="EdgeKVException(string)"/>
    public OutOfKvMemoryException(string message)
        : base(message)
    {
    }

    /// <inheritdoc cref="EdgeKVException(string, Exception)"/>
    public OutOfKvMemoryException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }

    /// <inheritdoc cref="EdgeKVException(string, NativeStatus, string)"/>
    public OutOfKvMemoryException(string message, NativeStatus status, string function)
        : base(message, status, function)
    {
    }
}
