using Microsoft.Win32.SafeHandles;

namespace EdgeKV.Native;

/// <summary>Owns an <c>edgekv_context</c> and a reference to its model, which therefore outlives it whoever is disposed first.</summary>
internal sealed class ContextHandle : SafeHandleZeroOrMinusOneIsInvalid
{
    private ModelHandle? _model;

    /// <summary>An invalid handle; the factory below fills it.</summary>
    public ContextHandle()
        : base(ownsHandle: true)
    {
    }

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
        bool referenced = false;
        try
        {
            model.DangerousAddRef(ref referenced);
            NativeStatus status = NativeMethods.edgekv_context_create(model, contextSize, batchSize, type, threads, offloadKv, out nint raw);
            NativeErrors.ThrowIfFailed(status, nameof(NativeMethods.edgekv_context_create));
            handle._model = model;
            handle.SetHandle(raw);
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_attention_set(handle, attention), nameof(NativeMethods.edgekv_attention_set));
            return handle;
        }
        catch
        {
            if (referenced)
            {
                model.DangerousRelease();
            }

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

    protected override bool ReleaseHandle()
    {
        NativeMethods.edgekv_context_free(handle);
        _model?.DangerousRelease();
        _model = null;
        return true;
    }
}
