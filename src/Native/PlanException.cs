namespace EdgeKV;

/// <summary>A plan, or the scores or the budget for one, are wrong: nothing was changed, and another plan may do.</summary>
public sealed class PlanException : EdgeKVException
{
    /// <summary>A plan is wrong.</summary>
    public PlanException()
    {
    }

    /// <summary>A plan is wrong.</summary>
    /// <param name="message">Names layer, head and value.</param>
    public PlanException(string message)
        : base(message)
    {
    }

    /// <summary>A plan is wrong, with a cause.</summary>
    /// <param name="message">Names layer, head and value.</param>
    /// <param name="innerException">The cause.</param>
    public PlanException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }

    /// <summary>The native library refused a plan.</summary>
    /// <param name="message">What it says.</param>
    /// <param name="nativeStatus">Its status code.</param>
    /// <param name="function">The function's name.</param>
    public PlanException(string message, int nativeStatus, string function)
        : base(message, nativeStatus, function)
    {
    }
}
