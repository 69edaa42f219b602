namespace EdgeKV.Evaluation;

/// <summary>A run's folder cannot be used, or what is in it does not belong to this run.</summary>
public sealed class RunException : EdgeKVException
{
    /// <summary>An exception with a message.</summary>
    /// <param name="message">Names the file, what is wrong and what to do.</param>
    public RunException(string message)
        : base(message)
    {
    }

    /// <summary>An exception with a message and what caused it.</summary>
    /// <param name="message">Names the file, what is wrong and what to do.</param>
    /// <param name="innerException">What caused it.</param>
    public RunException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
