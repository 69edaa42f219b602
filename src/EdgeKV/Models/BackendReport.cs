using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using EdgeKV.Native.Loading;

namespace EdgeKV.Models;

/// <summary>Which native libraries the process runs on, what they compute on, and why others are not in use.</summary>
/// <param name="Library">EdgeKV's file, which LLamaSharp uses as its libllama.</param>
/// <param name="GgmlVersion">The version of the ggml libraries; null when they do not say.</param>
/// <param name="Loaded">The files of ggml and of its backends.</param>
/// <param name="Devices">What the backends compute on.</param>
/// <param name="Unused">GPU backends that lie beside the program, or in the folder that EDGEKV_GGML names, and are not in use.</param>
public sealed partial record BackendReport(
    string Library, string? GgmlVersion, IReadOnlyList<string> Loaded, IReadOnlyList<BackendDevice> Devices, IReadOnlyList<UnusedBackend> Unused)
{
    /// <summary>Looks at this process. Loads the native library where that has not happened yet.</summary>
    /// <exception cref="NativeLibraryException">The native library cannot be found or loaded.</exception>
    public static BackendReport Create()
    {
        IReadOnlyList<BackendDevice> devices = BackendDevice.List();
        using Process process = Process.GetCurrentProcess();
        string[] loaded = [.. process.Modules.Cast<ProcessModule>().Select(module => module.FileName)
            .Where(path => GgmlFile().IsMatch(Path.GetFileName(path))).Distinct().Order(StringComparer.Ordinal)];
        return new BackendReport(EdgeKVLibrary.Path!, Version(loaded), loaded, devices, [.. Installed().Except(loaded).Select(path => new UnusedBackend(path, Reason(path)))]);
    }

    private static string? Version(IEnumerable<string> loaded)
    {
        string name = LoadedLibraries.FileName("ggml-base");
        if (loaded.FirstOrDefault(path => Path.GetFileName(path) == name) is not { } path || !NativeLibrary.TryLoad(path, out nint library))
        {
            return null;
        }

        string? version = LoadedLibraries.GgmlVersion(library);
        NativeLibrary.Free(library);
        return version;
    }

    // LLamaSharp's packages have one folder for each backend; plug-ins lie in one folder together.
    private static IEnumerable<string> Installed()
    {
        string runtimes = Path.Combine(AppContext.BaseDirectory, "runtimes", LibraryFile.Platform, "native");
        IEnumerable<string> folders = PluginFolder.Configured is { } plugins
            ? [plugins]
            : Directory.Exists(runtimes) ? Directory.EnumerateDirectories(runtimes) : [];
        return from folder in folders.Order(StringComparer.Ordinal)
               from backend in (string[])["cuda", "vulkan", "metal"]
               let path = Path.Combine(folder, LoadedLibraries.FileName($"ggml-{backend}"))
               where File.Exists(path)
               select path;
    }

    // The loader's own words name the library that is missing: a driver's, or CUDA's runtime.
    private static string Reason(string path)
    {
        try
        {
            NativeLibrary.Free(NativeLibrary.Load(path));
            return "It can be loaded, and another backend was chosen.";
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
        {
            return e.Message.ReplaceLineEndings(" ").Trim();
        }
    }

    [GeneratedRegex(@"^(lib)?ggml[-.].*", RegexOptions.CultureInvariant)]
    private static partial Regex GgmlFile();
}
