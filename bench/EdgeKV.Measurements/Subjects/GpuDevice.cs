using System.Runtime.InteropServices;
using EdgeKV.Native.Loading;
using LLama.Native;

namespace EdgeKV.Measurements.Subjects;

/// <summary>The GPU device that ggml has: a software one does.</summary>
public static unsafe class GpuDevice
{
    // GGML_BACKEND_DEVICE_TYPE_GPU
    private const int TypeOfGpus = 1;

    /// <summary>Its name and description, or null.</summary>
    public static string? Name { get; } = Find();

    private static string? Find()
    {
        EdgeKVRuntime.EnsureLoaded();
        if (!NativeApi.llama_supports_gpu_offload())
        {
            return null;
        }

        // libllama was linked with ggml, so that its handle finds ggml's functions too.
        nint library = NativeLibrary.Load(EdgeKVLibrary.Path!);
        nint device = ((delegate* unmanaged[Cdecl]<int, nint>)Export("ggml_backend_dev_by_type"))(TypeOfGpus);
        return device == 0 ? null : $"{Text("ggml_backend_dev_name")} ({Text("ggml_backend_dev_description")})";

        nint Export(string function) => NativeLibrary.GetExport(library, function);

        string Text(string function) =>
            Marshal.PtrToStringUTF8((nint)((delegate* unmanaged[Cdecl]<nint, byte*>)Export(function))(device)) ?? "unnamed";
    }
}
