using LLama.Abstractions;
using LLama.Native;

namespace EdgeKV.Native.Loading;

/// <summary>One of LLamaSharp's choices with EdgeKV's libllama: the ggml libraries of the choice are loaded first, and EdgeKV's file binds to them.</summary>
/// <param name="choice">What the other policy chose.</param>
/// <param name="file">The full path of EdgeKV's libllama.</param>
/// <param name="search">Folders that the choice's relative paths are relative to.</param>
/// <param name="refuse">Told why EdgeKV's library cannot serve.</param>
internal sealed class EdgeKVNativeLibrary(
    INativeLibrary choice, string file, IReadOnlyList<string> search, Action<string> refuse) : INativeLibrary
{
    /// <inheritdoc/>
    public NativeLibraryMetadata? Metadata => choice.Metadata;

    /// <inheritdoc/>
    public IEnumerable<string> Prepare(SystemInfo systemInfo, NativeLogConfig.LLamaLogCallback? logCallback = null)
    {
        List<string> paths = [];
        foreach (string path in choice.Prepare(systemInfo, logCallback))
        {
            if (FullPath(path) is not { } library)
            {
                // LLamaSharp goes through choices that are not installed; this is one of them.
                continue;
            }

            if (TryServe(Path.GetDirectoryName(library)!, out string? reason))
            {
                return [file];
            }

            if (reason is not null)
            {
                refuse(reason);
                paths.Add(path);
            }
        }

        return paths;
    }

    /// <param name="folder">The folder of the choice.</param>
    /// <param name="reason">Why EdgeKV's library cannot serve; null when the choice itself does not load.</param>
    private bool TryServe(string folder, out string? reason)
    {
        reason = null;
        LoadedLibraries ggml = new();
        string basePath = Path.Combine(folder, LoadedLibraries.FileName("ggml-base"));
        if (!ggml.TryLoad(basePath, out nint ggmlBase))
        {
            return false;
        }

        if (LoadedLibraries.GgmlVersion(ggmlBase) is not { } version || !GgmlVersions.IsKnown(version))
        {
            reason = $"{basePath} is ggml {LoadedLibraries.GgmlVersion(ggmlBase) ?? "of an unknown version"}; EdgeKV runs on {string.Join(" and ", GgmlVersions.Known)}. Take "
                + "LLamaSharp's backend packages of the version that EdgeKV was made for.";
            ggml.FreeAll();
            return false;
        }

        foreach (string path in Backends(folder))
        {
            if (!ggml.TryLoad(path, out _))
            {
                return false;
            }
        }

        if (EdgeKVLibrary.TryLoad(file, out reason))
        {
            return true;
        }

        ggml.FreeAll();
        return false;
    }

    /// <summary>What ggml itself needs, in the order of loading. The CPU library lies in the folder of the AVX level, those of GPUs in the choice's own.</summary>
    private IEnumerable<string> Backends(string folder)
    {
        string own = Path.Combine(folder, LoadedLibraries.FileName("ggml-cpu"));
        if (File.Exists(own))
        {
            yield return own;
        }
        else if (choice.Metadata is { } metadata && Path.GetDirectoryName(folder) is { } parent)
        {
            yield return Path.Combine(parent, LevelFolder(metadata.AvxLevel), LoadedLibraries.FileName("ggml-cpu"));
        }

        foreach (string backend in (string[])["cuda", "vulkan", "metal", "blas"])
        {
            string path = Path.Combine(folder, LoadedLibraries.FileName($"ggml-{backend}"));
            if (File.Exists(path))
            {
                yield return path;
            }
        }

        yield return Path.Combine(folder, LoadedLibraries.FileName("ggml"));
    }

    private static string LevelFolder(AvxLevel level) => level switch
    {
        AvxLevel.Avx => "avx",
        AvxLevel.Avx2 => "avx2",
        AvxLevel.Avx512 => "avx512",
        _ => "noavx",
    };

    private string? FullPath(string path) =>
        search.Select(folder => Path.GetFullPath(Path.Combine(folder, path))).FirstOrDefault(File.Exists);
}
