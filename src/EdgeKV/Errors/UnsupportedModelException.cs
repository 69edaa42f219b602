namespace EdgeKV;

/// <summary>The model, its cache or its chat template is of a kind that EdgeKV does not serve: take another model.</summary>
public sealed class UnsupportedModelException : EdgeKVException
{
    /// <inheritdoc cref="EdgeKVException(string)"/>
    public UnsupportedModelException(string message)
        : base(message)
    {
    }

    /// <inheritdoc cref="EdgeKVException(string, Exception)"/>
    public UnsupportedModelException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }

    /// <inheritdoc cref="EdgeKVException(string, NativeStatus, string)"/>
    public UnsupportedModelException(string message, NativeStatus status, string function)
        : base(message, status, function)
    {
    }
}
