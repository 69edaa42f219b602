using Microsoft.Win32.SafeHandles;

namespace EdgeKV.Native;

/// <summary>Owns an <c>edgekv_scores</c>: arrays [n_layer, n_head, n_context] that may outlive the context they came from.</summary>
internal sealed class ScoresHandle : SafeHandleZeroOrMinusOneIsInvalid
{
    /// <summary>An invalid handle; the factory below fills it.</summary>
    public ScoresHandle()
        : base(ownsHandle: true)
    {
    }

    /// <summary>Makes arrays of zeros for the given aggregates.</summary>
    /// <exception cref="ObjectDisposedException">The context has been disposed.</exception>
    /// <exception cref="OutOfKvMemoryException">Not enough memory.</exception>
    public static ScoresHandle Create(ContextHandle context, int contextTokens, NativeAggregates aggregates)
    {
        ScoresHandle handle = new();
        bool referenced = false;
        try
        {
            // Only for the call: scores may come after their context's end.
            context.DangerousAddRef(ref referenced);
            NativeStatus status = NativeMethods.edgekv_scores_create(context, contextTokens, aggregates, out nint raw);
            NativeErrors.ThrowIfFailed(status, nameof(NativeMethods.edgekv_scores_create));
            handle.SetHandle(raw);
            return handle;
        }
        catch
        {
            handle.Dispose();
            throw;
        }
        finally
        {
            if (referenced)
            {
                context.DangerousRelease();
            }
        }
    }

    protected override bool ReleaseHandle()
    {
        NativeMethods.edgekv_scores_free(handle);
        return true;
    }
}
