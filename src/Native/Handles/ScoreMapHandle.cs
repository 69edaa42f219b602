using Microsoft.Win32.SafeHandles;

namespace EdgeKV.Native;

/// <summary>Owns an <c>edgekv_score_map</c> and a reference to its model, which therefore outlives it whoever is disposed first.</summary>
internal sealed class ScoreMapHandle : SafeHandleZeroOrMinusOneIsInvalid
{
    private ModelHandle? _model;

    /// <summary>An invalid handle; the factory below fills it.</summary>
    public ScoreMapHandle()
        : base(ownsHandle: true)
    {
    }

    /// <summary>Copies weights [layers][embedding + 1][KV heads], the bias last, to where the layers lie.</summary>
    /// <exception cref="ObjectDisposedException">The model has been disposed.</exception>
    /// <exception cref="OutOfKvMemoryException">Not enough memory.</exception>
    /// <exception cref="EdgeKVException">The weights are not for this model, or one is not a number.</exception>
    public static unsafe ScoreMapHandle Create(ModelHandle model, ReadOnlySpan<float> weights)
    {
        ScoreMapHandle handle = new();
        bool referenced = false;
        try
        {
            model.DangerousAddRef(ref referenced);
            fixed (float* pointer = weights)
            {
                NativeStatus status = NativeMethods.edgekv_score_map_create(model, pointer, (nuint)weights.Length, out nint raw);
                NativeErrors.ThrowIfFailed(status, nameof(NativeMethods.edgekv_score_map_create));
                handle._model = model;
                handle.SetHandle(raw);
            }

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

    protected override bool ReleaseHandle()
    {
        NativeMethods.edgekv_score_map_free(handle);
        _model?.DangerousRelease();
        _model = null;
        return true;
    }
}
