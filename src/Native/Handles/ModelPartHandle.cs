using Microsoft.Win32.SafeHandles;

namespace EdgeKV.Native;

/// <summary>Owns a native object made for a model, and a reference to that model, which therefore outlives it whoever is disposed first.</summary>
internal abstract class ModelPartHandle : SafeHandleZeroOrMinusOneIsInvalid
{
    private ModelHandle? _model;

    /// <summary>An invalid handle; <see cref="Fill"/> fills it.</summary>
    protected ModelPartHandle()
        : base(ownsHandle: true)
    {
    }

    /// <summary>Makes the native object; throws when it cannot.</summary>
    protected delegate nint Maker<in T>(ModelHandle model, T from)
        where T : allows ref struct;

    /// <summary>Takes the reference and what is made. When that fails the reference is given back and the handle is closed.</summary>
    /// <exception cref="ObjectDisposedException">The model has been disposed.</exception>
    protected void Fill<T>(ModelHandle model, T from, Maker<T> make)
        where T : allows ref struct
    {
        bool referenced = false;
        try
        {
            model.DangerousAddRef(ref referenced);
            SetHandle(make(model, from));
            _model = model;
        }
        catch
        {
            if (referenced)
            {
                model.DangerousRelease();
            }

            Dispose();
            throw;
        }
    }

    /// <summary>Frees the native object.</summary>
    protected abstract void Free();

    protected sealed override bool ReleaseHandle()
    {
        Free();
        _model?.DangerousRelease();
        _model = null;
        return true;
    }
}
