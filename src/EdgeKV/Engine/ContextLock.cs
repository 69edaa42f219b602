using EdgeKV.Native;
using LLama.Native;

namespace EdgeKV.Engine;

/// <summary>Holds a context's lock until it is disposed, and keeps the context from being freed.</summary>
internal readonly ref struct ContextLock
{
    private readonly SafeLLamaContextHandle _context;

    /// <summary>Takes the lock.</summary>
    /// <param name="context">Whose lock.</param>
    /// <param name="wait">Whether to wait while another thread has it.</param>
    /// <exception cref="ContextBusyException">Another thread has it, and the caller does not wait.</exception>
    /// <exception cref="ObjectDisposedException">The context has been disposed.</exception>
    public ContextLock(SafeLLamaContextHandle context, bool wait)
    {
        _context = context;
        bool referenced = false;
        context.DangerousAddRef(ref referenced);
        NativeStatus status = NativeMethods.edgekv_lock(context, wait ? -1 : 0);
        if (status != NativeStatus.Ok)
        {
            context.DangerousRelease();
            NativeErrors.ThrowIfFailed(status, nameof(NativeMethods.edgekv_lock));
        }
    }

    /// <summary>Lets go of it.</summary>
    public void Dispose()
    {
        NativeMethods.edgekv_unlock(_context.DangerousGetHandle());
        _context.DangerousRelease();
    }
}
