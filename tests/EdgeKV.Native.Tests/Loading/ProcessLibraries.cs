using System.Diagnostics;

namespace EdgeKV.Native.Tests;

/// <summary>The native libraries that are loaded in this process.</summary>
internal static class ProcessLibraries
{
    /// <summary>The paths of those with a file name.</summary>
    public static IReadOnlyList<string> Named(string name)
    {
        using var process = Process.GetCurrentProcess();
        return [.. process.Modules.Cast<ProcessModule>().Select(module => module.FileName).Where(path => Path.GetFileName(path) == name).Distinct()];
    }

    /// <summary>Those in a folder.</summary>
    public static IReadOnlyList<string> In(string folder)
    {
        using var process = Process.GetCurrentProcess();
        return [.. process.Modules.Cast<ProcessModule>().Select(module => module.FileName).Where(path => path.StartsWith(folder, StringComparison.Ordinal)).Distinct()];
    }
}
