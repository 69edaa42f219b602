namespace EdgeKV;

/// <summary>The native library or its backends could not be found or loaded: build them, or say where they lie.</summary>
public sealed class NativeLibraryException : EdgeKVException
{
    /// <inheritdoc cref="EdgeKVException(string)"/>
    public NativeLibraryException(string message)
        : base(message)
    {
    }

    /// <inheritdoc cref="EdgeKVException(string, Exception)"/>
    public NativeLibraryException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }

    /// <inheritdoc cref="EdgeKVException(string, NativeStatus, string)"/>
    public NativeLibraryException(string message, NativeStatus status, string function)
        : base(message, status, function)
    {
    }
}
