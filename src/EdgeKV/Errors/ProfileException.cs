namespace EdgeKV;

/// <summary>A profile is missing, damaged, of another version, or made for another model.</summary>
public sealed class ProfileException : EdgeKVException
{
    /// <inheritdoc cref="EdgeKVException(string)"/>
    public ProfileException(string message)
        : base(message)
    {
    }

    /// <inheritdoc cref="EdgeKVException(string, Exception)"/>
    public ProfileException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }

    /// <inheritdoc cref="EdgeKVException(string, NativeStatus, string)"/>
    public ProfileException(string message, NativeStatus status, string function)
        : base(message, status, function)
    {
    }
}
