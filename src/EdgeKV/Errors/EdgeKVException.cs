namespace EdgeKV;

/// <summary>
/// Something that EdgeKV could not do. The children are split by what a caller can do about it; cancellation is an
/// <see cref="OperationCanceledException"/> and no child of this.
/// </summary>
public class EdgeKVException : Exception
{
    /// <summary>An error found in managed code.</summary>
    /// <param name="message">The thing, what was found, what is allowed, what helps.</param>
    public EdgeKVException(string message)
        : base(message)
    {
    }

    /// <summary>An error found in managed code, with its cause.</summary>
    /// <param name="message">The thing, what was found, what is allowed, what helps.</param>
    /// <param name="innerException">The cause.</param>
    public EdgeKVException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }

    /// <summary>An error that the native library reported.</summary>
    /// <param name="message">The library's words.</param>
    /// <param name="status">The code that it returned.</param>
    /// <param name="function">The function that returned it.</param>
    public EdgeKVException(string message, NativeStatus status, string function)
        : base(message)
    {
        NativeStatus = status;
        Function = function;
    }

    /// <summary>The code that the native library returned; null when the error was found before it was called.</summary>
    public NativeStatus? NativeStatus { get; }

    /// <summary>The native function that failed; null when the error was found before one was called.</summary>
    public string? Function { get; }
}
