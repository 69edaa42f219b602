using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace EdgeKV.Native;

/// <summary>
/// Turns <see cref="IProgress{T}"/> and a <see cref="CancellationToken"/> into the function pointer and the user pointer of
/// <c>edgekv_progress_fn</c>. An exception from the receiver stops the native work and is thrown again by <see cref="ThrowIfFailed"/>:
/// it never crosses a native frame.
/// </summary>
internal sealed unsafe class ProgressCallback : IDisposable
{
    private readonly IProgress<double>? _progress;
    private readonly CancellationToken _cancellation;
    private readonly double _from;
    private readonly double _to;
    private GCHandle<ProgressCallback> _self;
    private ExceptionDispatchInfo? _error;

    /// <summary>A callback that lives until it is disposed.</summary>
    /// <param name="progress">Gets the share of the whole work, or null.</param>
    /// <param name="cancellation">Stops the work.</param>
    /// <param name="from">Share of the whole that is done when this part begins.</param>
    /// <param name="to">Share of the whole that is done when this part ends.</param>
    public ProgressCallback(IProgress<double>? progress, CancellationToken cancellation, double from = 0, double to = 1)
    {
        _progress = progress;
        _cancellation = cancellation;
        _from = from;
        _to = to;
        _self = new GCHandle<ProgressCallback>(this);
    }

    public static delegate* unmanaged[Cdecl]<float, void*, byte> Function => &OnProgress;

    public void* User => (void*)GCHandle<ProgressCallback>.ToIntPtr(_self);

    /// <summary>Throws what the receiver threw; must be asked before the status is looked at.</summary>
    public void ThrowIfFailed() => _error?.Throw();

    public void Dispose() => _self.Dispose();

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static byte OnProgress(float share, void* user)
    {
        ProgressCallback callback = GCHandle<ProgressCallback>.FromIntPtr((nint)user).Target;
        try
        {
            if (callback._cancellation.IsCancellationRequested)
            {
                return 0;
            }

            double whole = callback._from + (callback._to - callback._from) * Math.Clamp((double)share, 0, 1);
            callback._progress?.Report(whole);
            return 1;
        }
#pragma warning disable CA1031 // whatever it is, it must not unwind through native frames
        catch (Exception e)
#pragma warning restore CA1031
        {
            callback._error = ExceptionDispatchInfo.Capture(e);
            return 0;
        }
    }
}
