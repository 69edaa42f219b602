namespace EdgeKV;

/// <summary>Another thread uses the context, and the caller asked not to wait: <see cref="Engine.AttachOptions.WaitForContext"/>.</summary>
public sealed class ContextBusyException : EdgeKVException
{
    /// <inheritdoc cref="EdgeKVException(string)"/>
    public ContextBusyException(string message)
        : base(message)
    {
    }

    /// <inheritdoc cref="EdgeKVException(string, Exception)"/>
    public ContextBusyException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }

    /// <inheritdoc cref="EdgeKVException(string, NativeStatus, string)"/>
    public ContextBusyException(string message, NativeStatus status, string function)
        : base(message, status, function)
    {
    }
}
