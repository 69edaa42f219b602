namespace EdgeKV;

/// <summary>The model file is missing, damaged or not readable: give another one.</summary>
public sealed class ModelException : EdgeKVException
{
    /// <inheritdoc cref="EdgeKVException(string)"/>
    public ModelException(string message)
        : base(message)
    {
    }

    /// <inheritdoc cref="EdgeKVException(string, Exception)"/>
    public ModelException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }

    /// <inheritdoc cref="EdgeKVException(string, NativeStatus, string)"/>
    public ModelException(string message, NativeStatus status, string function)
        : base(message, status, function)
    {
    }
}
