using System.Reflection;
using System.Runtime.InteropServices;

namespace EdgeKV.Native.Loading;

/// <summary>
/// The one copy of EdgeKV's native library in the process. LLamaSharp loads it in place of the libllama of its backend package
/// (<see cref="EdgeKVSelectingPolicy"/>), and the declarations of <see cref="NativeMethods"/> are resolved from the same copy.
/// </summary>
internal static class EdgeKVLibrary
{
    private static readonly Lock Gate = new();
    private static nint _handle;
    private static bool _resolverSet;

    /// <summary>The file that was loaded; null as long as none was.</summary>
    public static string? Path { get; private set; }

    /// <summary>Why LLamaSharp's own library is in use instead; null when there is no such reason.</summary>
    public static string? Refusal { get; private set; }

    /// <summary>Records why EdgeKV's library is not the one that LLamaSharp gets. The first reason stays.</summary>
    public static void Refuse(string reason)
    {
        lock (Gate)
        {
            Refusal ??= reason;
        }
    }

    /// <summary>Loads a file and checks that it is EdgeKV's library, of the version that these declarations are of.</summary>
    /// <param name="path">The full path. ggml must have been loaded before.</param>
    /// <param name="reason">Why it could not be loaded.</param>
    public static bool TryLoad(string path, out string? reason)
    {
        lock (Gate)
        {
            if (Path is not null)
            {
                reason = Path == path ? null : $"{Path} was loaded before.";
                return reason is null;
            }

            reason = Check(path, out nint library);
            if (reason is not null)
            {
                return false;
            }

            _handle = library;
            Path = path;
            if (!_resolverSet)
            {
                NativeLibrary.SetDllImportResolver(typeof(EdgeKVLibrary).Assembly, Resolve);
                _resolverSet = true;
            }

            return true;
        }
    }

    /// <summary>Loads a file and says what is wrong with it; null when nothing is, and then it stays loaded.</summary>
    internal static unsafe string? Check(string path, out nint library)
    {
        try
        {
            library = NativeLibrary.Load(path);
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
        {
            library = 0;
            return $"{path} cannot be loaded: {e.Message.Trim()}";
        }

        string? reason = null;
        if (!NativeLibrary.TryGetExport(library, nameof(NativeMethods.edgekv_abi_version), out nint function))
        {
            reason = $"{path} is not EdgeKV's library: it has no edgekv_abi_version.";
        }
        else if (((delegate* unmanaged[Cdecl]<uint>)function)() is uint version && version != NativeMethods.AbiVersion)
        {
            reason = $"{path} has interface version {version}; this EdgeKV needs version {NativeMethods.AbiVersion}.";
        }

        if (reason is not null)
        {
            NativeLibrary.Free(library);
        }

        return reason;
    }

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? searchPath) =>
        name == NativeMethods.Library ? _handle : 0;
}
