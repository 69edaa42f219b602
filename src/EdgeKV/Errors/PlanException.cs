namespace EdgeKV;

/// <summary>A compression plan is wrong in itself or does not fit the cache that it is applied to.</summary>
public sealed class PlanException : EdgeKVException
{
    /// <inheritdoc cref="EdgeKVException(string)"/>
    public PlanException(string message)
        : base(message)
    {
    }

    /// <inheritdoc cref="EdgeKVException(string, Exception)"/>
    public PlanException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }

    /// <inheritdoc cref="EdgeKVException(string, NativeStatus, string)"/>
    public PlanException(string message, NativeStatus status, string function)
        : base(message, status, function)
    {
    }
}
