using System.Runtime.InteropServices;
using EdgeKV.Native;

namespace EdgeKV.Models;

/// <summary>How many layers of a model fit on the GPUs there are.</summary>
internal static class GpuFit
{
    // While a cache is made compact the old one and the new one exist side by side, and drivers keep some memory for themselves.
    private const int SpareShare = 16;

    // What contexts take at once unless they are told otherwise; more takes more memory to compute in.
    private const int BatchSize = 512;

    /// <summary>Asks the backends for free memory, and llama.cpp for what weights, cache and batches would take.</summary>
    /// <param name="path">The GGUF file.</param>
    /// <param name="options">Devices, context size and cache type are taken from it.</param>
    /// <returns>The number, the output layer counted as one.</returns>
    /// <exception cref="ModelException">The file cannot be loaded.</exception>
    public static unsafe int Layers(string path, ModelOptions options)
    {
        long[] memory = [.. BackendDevice.List().Where(device => device.IsGpu).Select(device => device.TotalBytes)];
        if (memory.Length == 0)
        {
            return 0;
        }

        nint[] names = new nint[options.Devices.Count + 1];
        try
        {
            for (int i = 0; i < options.Devices.Count; i++)
            {
                names[i] = Marshal.StringToCoTaskMemUTF8(options.Devices[i]);
            }

            fixed (nint* devices = names)
            {
                int type = (int)options.FitCacheType.ToGgml();
                NativeErrors.ThrowIfFailed(
                    NativeMethods.edgekv_fit(
                        path,
                        options.Devices.Count > 0 ? (byte**)devices : null,
                        (uint)options.FitContextSize,
                        (uint)Math.Min(BatchSize, options.FitContextSize),
                        type,
                        type,
                        (ulong)(memory.Max() / SpareShare),
                        out int layers),
                    nameof(NativeMethods.edgekv_fit));
                return layers;
            }
        }
        finally
        {
            foreach (nint name in names)
            {
                Marshal.FreeCoTaskMem(name);
            }
        }
    }
}
