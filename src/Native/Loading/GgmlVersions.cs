namespace EdgeKV.Native.Loading;

/// <summary>The ggml versions that EdgeKV's libllama is known to run on. This list is the only place that names them.</summary>
internal static class GgmlVersions
{
    /// <summary>0.17.0 is that of llama.cpp b10068, 0.18.0 that of LLamaSharp 0.30.0's backend packages.</summary>
    public static IReadOnlyList<string> Known { get; } = ["0.17.0", "0.18.0"];

    /// <summary>Whether EdgeKV's libllama runs on a version, as <c>ggml_version()</c> gives it.</summary>
    public static bool IsKnown(string version) => Known.Contains(version);
}
