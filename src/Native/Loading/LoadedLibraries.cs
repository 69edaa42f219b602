using System.Runtime.InteropServices;

namespace EdgeKV.Native.Loading;

/// <summary>Libraries that are loaded one after another, each by its full path, and freed again in the other order when one of them fails.</summary>
internal sealed class LoadedLibraries
{
    private readonly Stack<nint> _handles = [];

    /// <summary>The file name of a library on this platform.</summary>
    public static string FileName(string name) =>
        OperatingSystem.IsWindows() ? $"{name}.dll" : OperatingSystem.IsMacOS() ? $"lib{name}.dylib" : $"lib{name}.so";

    /// <summary>Loads a library. When that fails, those that were loaded before are freed, so that no later choice binds to them.</summary>
    public bool TryLoad(string path, out nint handle)
    {
        if (NativeLibrary.TryLoad(path, out handle))
        {
            _handles.Push(handle);
            return true;
        }

        FreeAll();
        return false;
    }

    /// <summary>Frees everything that was loaded.</summary>
    public void FreeAll()
    {
        while (_handles.TryPop(out nint handle))
        {
            NativeLibrary.Free(handle);
        }
    }

    /// <summary>The version that a loaded libggml-base says it has; null when it has none.</summary>
    public static unsafe string? GgmlVersion(nint ggmlBase) =>
        NativeLibrary.TryGetExport(ggmlBase, "ggml_version", out nint function)
            ? Marshal.PtrToStringUTF8((nint)((delegate* unmanaged[Cdecl]<byte*>)function)())
            : null;
}
