using LLama.Abstractions;
using LLama.Native;

namespace EdgeKV.Native.Loading;

/// <summary>EdgeKV's libllama on ggml libraries that load their backends as plug-ins, from the folder that EDGEKV_GGML names.</summary>
/// <param name="file">The full path of EdgeKV's libllama.</param>
/// <param name="folder">The folder of libggml-base, libggml and the plug-ins.</param>
internal sealed class PluginLibrary(string file, string folder) : INativeLibrary
{
    /// <inheritdoc/>
    public NativeLibraryMetadata? Metadata => null;

    /// <inheritdoc/>
    public unsafe IEnumerable<string> Prepare(SystemInfo systemInfo, NativeLogConfig.LLamaLogCallback? logCallback = null)
    {
        LoadedLibraries ggml = new();
        foreach (string name in (string[])["ggml-base", "ggml"])
        {
            string path = Path.Combine(folder, LoadedLibraries.FileName(name));
            if (!ggml.TryLoad(path, out _))
            {
                EdgeKVLibrary.Refuse($"{path}, of the folder that {PluginFolder.FolderVariable} names, cannot be loaded.");
                return [];
            }
        }

        if (!EdgeKVLibrary.TryLoad(file, out string? reason))
        {
            EdgeKVLibrary.Refuse(reason!);
            return [];
        }

        string? cpu = Environment.GetEnvironmentVariable(PluginFolder.CpuVariable);
        NativeStatus status = NativeMethods.edgekv_backends_load(folder, string.IsNullOrWhiteSpace(cpu) ? null : cpu);
        if (status != NativeStatus.Ok)
        {
            EdgeKVLibrary.Refuse(System.Runtime.InteropServices.Marshal.PtrToStringUTF8((nint)NativeMethods.edgekv_last_error()) ?? $"The backends in {folder} did not load.");
            return [];
        }

        return [file];
    }
}
