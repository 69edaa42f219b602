namespace EdgeKV.Evaluation;

/// <summary>A data set cannot be read. The message names file and line, what is wrong, and what to do.</summary>
public sealed class DatasetException : EdgeKVException
{
    /// <inheritdoc cref="EdgeKVException(string)"/>
    public DatasetException(string message)
        : base(message)
    {
    }

    /// <inheritdoc cref="EdgeKVException(string, Exception)"/>
    public DatasetException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }
}
