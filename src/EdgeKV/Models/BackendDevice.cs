using System.Runtime.InteropServices;
using EdgeKV.Native;

namespace EdgeKV.Models;

/// <summary>A device that one of the loaded backends computes on.</summary>
/// <param name="Name">What <see cref="ModelOptions.Devices"/> and LLamaSharp's <c>ModelParams.Devices</c> call it, "CUDA0" for example.</param>
/// <param name="Description">Its name for people.</param>
/// <param name="Backend">The backend that has it, "CUDA" for example.</param>
/// <param name="Kind">What kind of device it is.</param>
/// <param name="FreeBytes">Memory that is free now; 0 together with <paramref name="TotalBytes"/> when the backend does not say.</param>
/// <param name="TotalBytes">All of its memory.</param>
/// <param name="Features">What the backend was built to use, AVX2 for example; empty when it does not say.</param>
public sealed record BackendDevice(
    string Name, string Description, string Backend, BackendDeviceKind Kind, long FreeBytes, long TotalBytes, IReadOnlyList<string> Features)
{
    /// <summary>Whether layers of a model can be put on it.</summary>
    public bool IsGpu => Kind is BackendDeviceKind.Gpu or BackendDeviceKind.IntegratedGpu;

    /// <summary>The devices of all loaded backends, in ggml's order. Loads the native library where that has not happened yet.</summary>
    /// <exception cref="NativeLibraryException">The native library cannot be found or loaded.</exception>
    public static IReadOnlyList<BackendDevice> List()
    {
        EdgeKVRuntime.EnsureLoaded();
        BackendDevice[] devices = new BackendDevice[NativeMethods.edgekv_device_count()];
        for (int i = 0; i < devices.Length; i++)
        {
            NativeErrors.ThrowIfFailed(NativeMethods.edgekv_device_get((nuint)i, out NativeDevice device), nameof(NativeMethods.edgekv_device_get));
            devices[i] = Of(device);
        }

        return devices;
    }

    private static unsafe BackendDevice Of(in NativeDevice device) => new(
        Text(device.Name),
        Text(device.Description),
        Text(device.Backend),
        device.Kind switch
        {
            NativeDeviceKind.Cpu => BackendDeviceKind.Cpu,
            NativeDeviceKind.Gpu => BackendDeviceKind.Gpu,
            NativeDeviceKind.IntegratedGpu => BackendDeviceKind.IntegratedGpu,
            _ => BackendDeviceKind.Accelerator,
        },
        Bytes(device.MemoryFree),
        Bytes(device.MemoryTotal),
        Text(device.Features).Split(' ', StringSplitOptions.RemoveEmptyEntries));

    private static unsafe string Text(byte* text) => (Marshal.PtrToStringUTF8((nint)text) ?? string.Empty).Trim();

    private static long Bytes(ulong bytes) => (long)Math.Min(bytes, long.MaxValue);
}
