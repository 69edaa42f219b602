namespace EdgeKV;

/// <summary>A text to learn from is missing, unreadable or no text, or the texts are too few, too short or too much alike: give other ones.</summary>
public sealed class CalibrationTextException : EdgeKVException
{
    /// <inheritdoc cref="EdgeKVException(string)"/>
    public CalibrationTextException(string message)
        : base(message)
    {
    }

    /// <inheritdoc cref="EdgeKVException(string, Exception)"/>
    public CalibrationTextException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }
}
