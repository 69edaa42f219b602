using System.Runtime.InteropServices;
using EdgeKV.Native.Loading;

namespace EdgeKV.Native.Tests.Packaged;

/// <summary>The two libllama files that are compared.</summary>
internal static class Libraries
{
    /// <summary>LLamaSharp's own, as its CPU package puts it below the test's output.</summary>
    public static string Packaged { get; } = Path.Combine(AppContext.BaseDirectory, "runtimes", "linux-x64", "native", "avx2", "libllama.so");

    /// <summary>Ours.</summary>
    public static string Ours { get; } = Loaded();

    /// <summary>Ours, loaded, with its backends.</summary>
    public static nint Handle { get; } = NativeLibrary.Load(Ours);

    /// <summary>Skips the test where the files are not ELF files of this machine.</summary>
    public static void RequireLinux() =>
        Assert.SkipUnless(OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture == Architecture.X64, "Linux on x64 only.");

    public static T Function<T>(string name)
        where T : Delegate => Marshal.GetDelegateForFunctionPointer<T>(NativeLibrary.GetExport(Handle, name));

    private static string Loaded()
    {
        EdgeKVRuntime.EnsureLoaded();
        return EdgeKVLibrary.Path!;
    }
}
