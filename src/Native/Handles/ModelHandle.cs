using Microsoft.Win32.SafeHandles;

namespace EdgeKV.Native;

/// <summary>Owns an <c>edgekv_model</c>. Contexts hold a reference to it, so it is freed after the last of them.</summary>
internal sealed class ModelHandle : SafeHandleZeroOrMinusOneIsInvalid
{
    /// <summary>An invalid handle; the factory below fills it.</summary>
    public ModelHandle()
        : base(ownsHandle: true)
    {
    }

    /// <summary>Loads the library when that has not been done, then the model.</summary>
    /// <exception cref="NativeLibraryException">The library cannot be found or loaded.</exception>
    /// <exception cref="ModelException">The file is no usable model.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static unsafe ModelHandle Load(
        string path,
        int gpuLayers,
        bool memoryMap,
        IProgress<double>? progress,
        CancellationToken cancellation)
    {
        NativeLibraryLoader.EnsureLoaded();
        cancellation.ThrowIfCancellationRequested();
        ModelHandle handle = new();
        try
        {
            using ProgressCallback callback = new(progress, cancellation);
            NativeStatus status = NativeMethods.edgekv_model_load(path, gpuLayers, memoryMap, ProgressCallback.Function, callback.User, out nint raw);
            callback.ThrowIfFailed();
            NativeErrors.ThrowIfFailed(status, nameof(NativeMethods.edgekv_model_load), cancellation);
            handle.SetHandle(raw);
            return handle;
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    protected override bool ReleaseHandle()
    {
        NativeMethods.edgekv_model_free(handle);
        return true;
    }
}
