using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using EdgeKV.Native;

namespace EdgeKV;

/// <summary>The one place that turns a status into an exception.</summary>
internal static class NativeErrors
{
    /// <summary>
    /// Throws for every status but success. Must follow the call on the same thread, with no other native call between: the message
    /// is kept per thread.
    /// </summary>
    /// <param name="status">What the function returned.</param>
    /// <param name="function">Its name.</param>
    /// <param name="cancellation">Named in the exception when the work was cancelled through it.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void ThrowIfFailed(NativeStatus status, string function, CancellationToken cancellation = default)
    {
        if (status != NativeStatus.Ok)
        {
            throw Create(status, function, LastError(), cancellation);
        }
    }

    /// <summary>The exception for a status that is not success.</summary>
    public static Exception Create(NativeStatus status, string function, string? message, CancellationToken cancellation = default)
    {
        string text = string.IsNullOrWhiteSpace(message) ? $"{function} failed with status {(int)status} and gave no reason." : message;
        return status switch
        {
            NativeStatus.Busy => new ContextBusyException(text, status, function),
            NativeStatus.State => new SessionStateException(text, status, function),
            NativeStatus.Backend => new NativeLibraryException(text, status, function),
            NativeStatus.Model => new ModelException(text, status, function),
            NativeStatus.Unsupported => new UnsupportedModelException(text, status, function),
            NativeStatus.Memory => new OutOfKvMemoryException(text, status, function),
            NativeStatus.Window => new ContextWindowException(text, status, function),
            NativeStatus.Plan => new PlanException(text, status, function),
            NativeStatus.Cancelled => new OperationCanceledException(text, cancellation),
            _ => new EdgeKVException(text, status, function),
        };
    }

    /// <summary>What the calling thread's last native call said of its failure.</summary>
    public static unsafe string? LastError() => Marshal.PtrToStringUTF8((nint)NativeMethods.edgekv_last_error());

    /// <summary>What llama.cpp first logged as an error on the calling thread since <see cref="ClearLogError"/>; null when there was nothing.</summary>
    public static unsafe string? LogError() =>
        Marshal.PtrToStringUTF8((nint)NativeMethods.edgekv_log_error()) is { Length: > 0 } text ? text : null;

    /// <summary>Why the last load of a model file failed, on whatever thread; null when it did not.</summary>
    /// <param name="path">The file, as it was given to be loaded.</param>
    public static unsafe string? LoadError(string path) =>
        Marshal.PtrToStringUTF8((nint)NativeMethods.edgekv_load_error(path)) is { Length: > 0 } text ? text : null;

    /// <summary>Forgets what the calling thread logged.</summary>
    public static void ClearLogError() => NativeMethods.edgekv_log_error_clear();
}
