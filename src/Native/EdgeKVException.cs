namespace EdgeKV;

/// <summary>What EdgeKV throws when the work itself fails; its children are split by what a caller can do about it.</summary>
public class EdgeKVException : Exception
{
    /// <summary>A failure of unknown kind.</summary>
    public EdgeKVException()
    {
    }

    /// <summary>A failure in managed code.</summary>
    /// <param name="message">The thing, what was found, what is allowed, what to do.</param>
    public EdgeKVException(string message)
        : base(message)
    {
    }

    /// <summary>A failure in managed code with a cause.</summary>
    /// <param name="message">The thing, what was found, what is allowed, what to do.</param>
    /// <param name="innerException">The cause.</param>
    public EdgeKVException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }

    /// <summary>A failure that a native function reported.</summary>
    /// <param name="message">What the native library says.</param>
    /// <param name="nativeStatus">Its status code.</param>
    /// <param name="function">The function's name.</param>
    public EdgeKVException(string message, int nativeStatus, string function)
        : base(message)
    {
        NativeStatus = nativeStatus;
        Function = function;
    }

    /// <summary>The status code of the native function that failed; null when managed code did.</summary>
    public int? NativeStatus { get; }

    /// <summary>The native function that failed; null when managed code did.</summary>
    public string? Function { get; }
}
