namespace EdgeKV.Scoring;

/// <summary>
/// A block of float32 scores that lies in managed or in native memory. Whoever makes one for native memory derives from it, hands out
/// spans over that memory and frees it in <see cref="Dispose(bool)"/>.
/// </summary>
/// <remarks>Longer than an array may be: a large model's scores over a long context pass 2^31 elements.</remarks>
public abstract class ScoreBuffer : IDisposable
{
    /// <summary>Length in elements.</summary>
    public abstract long Length { get; }

    /// <summary>A part of the block. Valid until the buffer is disposed; may be read by many threads at once.</summary>
    /// <param name="start">First element, 0 to <see cref="Length"/>.</param>
    /// <param name="length">Elements, within the block.</param>
    /// <exception cref="ArgumentOutOfRangeException">The part is not within the block.</exception>
    /// <exception cref="ObjectDisposedException">The memory was given back.</exception>
    public abstract ReadOnlySpan<float> Slice(long start, int length);

    /// <summary>A buffer over managed memory, not copied.</summary>
    /// <param name="memory">The scores.</param>
    public static ScoreBuffer FromMemory(ReadOnlyMemory<float> memory) => new ManagedScoreBuffer(memory);

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Gives the memory back. Called more than once when the owner disposes more than once.</summary>
    /// <param name="disposing">True when called by <see cref="Dispose()"/>.</param>
    protected virtual void Dispose(bool disposing)
    {
    }

    private sealed class ManagedScoreBuffer(ReadOnlyMemory<float> memory) : ScoreBuffer
    {
        public override long Length => memory.Length;

        public override ReadOnlySpan<float> Slice(long start, int length)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(start);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(start, (long)memory.Length);
            return memory.Span.Slice((int)start, length);
        }
    }
}
