namespace EdgeKV.Evaluation;

/// <summary>A run cannot be reported: its folder is missing, damaged or empty, or the report cannot be drawn or written.</summary>
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
