namespace EdgeKV;

/// <summary>Layers of a model were to be put on a GPU, and there is none that the process can use.</summary>
public sealed class GpuMissingException : EdgeKVException
{
    /// <inheritdoc cref="EdgeKVException(string)"/>
    public GpuMissingException(string message)
        : base(message)
    {
    }

    /// <inheritdoc cref="EdgeKVException(string, Exception)"/>
    public GpuMissingException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }
}
