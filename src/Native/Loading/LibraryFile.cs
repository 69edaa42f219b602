using System.Runtime.InteropServices;

namespace EdgeKV.Native.Loading;

/// <summary>Where EdgeKV's native file lies: libllama with EdgeKV's functions linked into it.</summary>
/// <remarks>
/// These folders are searched in order: the one that EDGEKV_NATIVE names (if it is set, only there), <c>edgekv/RID/native</c> beside the program,
/// <c>artifacts/native/engine</c> of the checkout, which is found by walking up from the program's folder.
/// </remarks>
internal static class LibraryFile
{
    public const string FolderVariable = "EDGEKV_NATIVE";

    /// <summary>The name of the file. It is upstream's, since other libraries of the process ask for it by this name.</summary>
    public static string Name =>
        OperatingSystem.IsWindows() ? "llama.dll" : OperatingSystem.IsMacOS() ? "libllama.dylib" : "libllama.so";

    /// <summary>The folder of this platform's file in a package, "linux-x64" for example.</summary>
    public static string Platform =>
        (OperatingSystem.IsWindows() ? "win" : OperatingSystem.IsMacOS() ? "osx" : "linux")
        + (RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? "-arm64" : "-x64");

    /// <summary>The folders to look in, in order.</summary>
    /// <param name="configured">The value of EDGEKV_NATIVE, or null.</param>
    /// <param name="programFolder">The program's folder, which is also where the search upwards begins.</param>
    public static IReadOnlyList<string> Folders(string? configured, string programFolder)
    {
        if (!string.IsNullOrWhiteSpace(configured))
        {
            // A user who names a folder means that one. Another copy found elsewhere would be a surprise.
            string folder = Path.GetFullPath(configured);
            return [folder, Path.Combine(folder, "engine")];
        }

        List<string> folders = [Path.GetFullPath(Path.Combine(programFolder, "edgekv", Platform, "native"))];
        for (DirectoryInfo? folder = new(programFolder); folder is not null; folder = folder.Parent)
        {
            folders.Add(Path.Combine(folder.FullName, "artifacts", "native", "engine"));
        }

        return folders;
    }

    /// <summary>The full path of the file in the first folder that has it; null when none has it.</summary>
    public static string? Find(IReadOnlyList<string> folders) =>
        folders.Select(folder => Path.Combine(folder, Name)).FirstOrDefault(File.Exists);
}
