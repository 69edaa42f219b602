using Microsoft.Win32.SafeHandles;

namespace EdgeKV.Native;

/// <summary>Owns an <c>edgekv_sampler</c>, which belongs to no model and no context.</summary>
internal sealed class SamplerHandle : SafeHandleZeroOrMinusOneIsInvalid
{
    /// <summary>An invalid handle; the factory below fills it.</summary>
    public SamplerHandle()
        : base(ownsHandle: true)
    {
    }

    /// <summary>Makes a sampler; a temperature of 0 is greedy.</summary>
    /// <exception cref="NativeLibraryException">The library cannot be found or loaded.</exception>
    public static SamplerHandle Create(float temperature, int topK, float topP, float minP, uint seed)
    {
        NativeLibraryLoader.EnsureLoaded();
        SamplerHandle handle = new();
        try
        {
            NativeStatus status = NativeMethods.edgekv_sampler_create(temperature, topK, topP, minP, seed, out nint raw);
            NativeErrors.ThrowIfFailed(status, nameof(NativeMethods.edgekv_sampler_create));
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
        NativeMethods.edgekv_sampler_free(handle);
        return true;
    }
}
