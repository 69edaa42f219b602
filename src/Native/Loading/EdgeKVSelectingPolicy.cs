using LLama.Abstractions;
using LLama.Native;

namespace EdgeKV.Native.Loading;

/// <summary>
/// Leaves the choice of the backend (AVX level, CUDA, Vulkan) to another policy, and gives EdgeKV's libllama in place of the one that lies beside
/// the chosen ggml libraries.
/// </summary>
/// <remarks>
/// LLamaSharp runs this inside a static constructor, so nothing here throws. Where EdgeKV's library cannot serve, the other policy's choice passes
/// through unchanged and <see cref="EdgeKVLibrary.Refusal"/> says why.
/// </remarks>
/// <param name="inner">The policy that chooses.</param>
/// <param name="folders">Where EdgeKV's file is looked for; null: in <see cref="LibraryFile.Folders"/> of this process.</param>
/// <param name="refuse">Told why EdgeKV's library cannot serve; null: <see cref="EdgeKVLibrary.Refuse"/>.</param>
internal sealed class EdgeKVSelectingPolicy(
    INativeLibrarySelectingPolicy inner, IReadOnlyList<string>? folders = null, Action<string>? refuse = null) : INativeLibrarySelectingPolicy
{
    private readonly Action<string> _refuse = refuse ?? EdgeKVLibrary.Refuse;

    /// <inheritdoc/>
    public IEnumerable<INativeLibrary> Apply(
        NativeLibraryConfig.Description description, SystemInfo systemInfo, NativeLogConfig.LLamaLogCallback? logCallback = null)
    {
        if (description.Library != NativeLibraryName.LLama)
        {
            // mtmd finds libllama by its name, which is already loaded then. Beside plug-in backends it would load a second ggml.
            return PluginFolder.Configured is null ? inner.Apply(description, systemInfo, logCallback) : [];
        }

        if (!string.IsNullOrEmpty(description.Path))
        {
            _refuse(
                $"NativeLibraryConfig.WithLibrary names {description.Path}. Leave WithLibrary out, so that EdgeKV can give LLamaSharp its own library.");
            return inner.Apply(description, systemInfo, logCallback);
        }

        IReadOnlyList<string> searched = folders
            ?? LibraryFile.Folders(Environment.GetEnvironmentVariable(LibraryFile.FolderVariable), AppContext.BaseDirectory);
        if (LibraryFile.Find(searched) is not { } file)
        {
            _refuse(
                $"{LibraryFile.Name} of EdgeKV was not found. Looked in: {string.Join(", ", searched)}. Reference the package EdgeKV.Native where it holds {LibraryFile.Platform}, run ./build.sh in the EdgeKV checkout, or set "
                + $"{LibraryFile.FolderVariable} to the folder that holds it.");
            return inner.Apply(description, systemInfo, logCallback);
        }

        if (PluginFolder.Configured is { } plugins)
        {
            return [new PluginLibrary(file, plugins)];
        }

        string[] search = [.. description.SearchDirectories, AppContext.BaseDirectory];
        return inner.Apply(description, systemInfo, logCallback).Select(choice => new EdgeKVNativeLibrary(choice, file, search, _refuse));
    }
}
