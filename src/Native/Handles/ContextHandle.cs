namespace EdgeKV.Native;

/// <summary>Owns an <c>edgekv_context</c>.</summary>
internal sealed class ContextHandle : ModelPartHandle
{
    /// <summary>Makes a context with an empty full cache.</summary>
    /// <exception cref="ObjectDisposedException">The model has been disposed.</exception>
    /// <exception cref="OutOfKvMemoryException">Not enough memory for the cache.</exception>
    /// <exception cref="EdgeKVException">An argument is out of its range, or llama.cpp failed.</exception>
    public static ContextHandle Create(
        ModelHandle model,
        uint contextSize,
        uint batchSize,
        NativeType type,
        int threads,
        bool offloadKv,
        NativeAttention attention = NativeAttention.Auto)
    {
        ContextHandle handle = new();
        handle.Fill(model, (contextSize, batchSize, type, threads, offloadKv), static (model, with) =>
        {
            NativeStatus status = NativeMethods.edgekv_context_create(
                model, with.contextSize, with.batchSize, with.type, with.threads, with.offloadKv, out nint raw);
            NativeErrors.ThrowIfFailed(status, nameof(NativeMethods.edgekv_context_create));
            return raw;
        });
        try
        {
            NativeErrors.ThrowIfFailed(NativeMethods.edgekv_attention_set(handle, attention), nameof(NativeMethods.edgekv_attention_set));
            return handle;
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    /// <summary>Asks the running call, or the next one, to stop. Any thread, at any time: a context that is gone needs no stopping.</summary>
    public void Interrupt()
    {
        try
        {
            NativeMethods.edgekv_interrupt(this);
        }
        catch (ObjectDisposedException)
        {
            // Disposed between the cancellation and this call.
        }
    }

    protected override void Free() => NativeMethods.edgekv_context_free(handle);
}
