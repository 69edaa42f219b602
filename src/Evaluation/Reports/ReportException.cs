namespace EdgeKV.Evaluation;

/// <summary>A run cannot be reported: it has no results, or some that no mean can be taken of.</summary>
public sealed class ReportException : EdgeKVException
{
    /// <inheritdoc cref="EdgeKVException(string)"/>
    public ReportException(string message)
        : base(message)
    {
    }

    /// <inheritdoc cref="EdgeKVException(string, Exception)"/>
    public ReportException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }
}
