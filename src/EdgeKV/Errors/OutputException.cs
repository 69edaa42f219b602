namespace EdgeKV;

/// <summary>A file cannot be written: its place, its permissions or the room on the disk forbid it. What was there before is unchanged.</summary>
public sealed class OutputException : EdgeKVException
{
    /// <inheritdoc cref="EdgeKVException(string)"/>
    public OutputException(string message)
        : base(message)
    {
    }

    /// <inheritdoc cref="EdgeKVException(string, Exception)"/>
    public OutputException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }
}
