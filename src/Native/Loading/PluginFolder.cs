namespace EdgeKV.Native.Loading;

/// <summary>
/// A folder of ggml libraries that load their backends as plug-ins. It takes the place of LLamaSharp's backend package where EDGEKV_GGML names it:
/// for tests on other devices, sanitizers and other builds of ggml.
/// </summary>
internal static class PluginFolder
{
    public const string FolderVariable = "EDGEKV_GGML";

    /// <summary>The CPU variant to load, "haswell" for example; the best one of the machine when the variable is not set.</summary>
    public const string CpuVariable = "EDGEKV_CPU";

    /// <summary>The folder that EDGEKV_GGML names; null when it is not set.</summary>
    public static string? Configured =>
        Environment.GetEnvironmentVariable(FolderVariable) is { } folder && !string.IsNullOrWhiteSpace(folder) ? Path.GetFullPath(folder) : null;
}
