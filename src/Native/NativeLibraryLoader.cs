using System.Reflection;
using System.Runtime.InteropServices;

namespace EdgeKV.Native;

/// <summary>
/// Finds the folder of native libraries, loads libedgekv from it by its full path, checks its version and has it load the ggml backends.
/// </summary>
/// <remarks>
/// Searched in this order: the folder that EDGEKV_NATIVE names (when it is set, only there), <c>native</c> beside the assembly,
/// <c>artifacts/native</c> of the checkout, found by walking up from the program's folder. EDGEKV_CPU names a CPU variant; without it the
/// best one of this machine is taken.
/// </remarks>
internal static class NativeLibraryLoader
{
    public const string FolderVariable = "EDGEKV_NATIVE";
    public const string CpuVariable = "EDGEKV_CPU";

    private const string Remedy = "Run ./build.sh in the EdgeKV checkout, or set EDGEKV_NATIVE to the folder that holds the libraries.";

    private static readonly Lock Gate = new();
    private static nint _library;
    private static bool _resolverSet;
    private static volatile string? _folder;

    /// <summary>The file that is looked for.</summary>
    public static string FileName =>
        OperatingSystem.IsWindows() ? "edgekv.dll" : OperatingSystem.IsMacOS() ? "libedgekv.dylib" : "libedgekv.so";

    /// <summary>The folder that the libraries were loaded from.</summary>
    /// <exception cref="NativeLibraryException">They cannot be found or loaded.</exception>
    public static string Folder
    {
        get
        {
            EnsureLoaded();
            return _folder!;
        }
    }

    /// <summary>Loads the library and its backends once; a failed attempt may be repeated.</summary>
    /// <exception cref="NativeLibraryException">They cannot be found or loaded; the message lists what was tried.</exception>
    public static void EnsureLoaded()
    {
        if (_folder is not null)
        {
            return;
        }

        lock (Gate)
        {
            if (_folder is not null)
            {
                return;
            }

            string path = Find(Candidates(Environment.GetEnvironmentVariable(FolderVariable), AssemblyFolder(), AppContext.BaseDirectory));
            if (_library == 0)
            {
                _library = LoadLibrary(path);
            }

            if (!_resolverSet)
            {
                NativeLibrary.SetDllImportResolver(typeof(NativeLibraryLoader).Assembly, Resolve);
                _resolverSet = true;
            }

            string folder = Path.GetDirectoryName(path)!;
            string? cpu = Environment.GetEnvironmentVariable(CpuVariable);
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_backends_load(folder, string.IsNullOrWhiteSpace(cpu) ? null : cpu),
                nameof(NativeMethods.edgekv_backends_load));
            _folder = folder;
        }
    }

    /// <summary>The folders to look in, in order.</summary>
    /// <param name="configured">The value of EDGEKV_NATIVE, or null.</param>
    /// <param name="assemblyFolder">Where this assembly lies; null when it is part of a single file.</param>
    /// <param name="start">The folder to walk up from.</param>
    public static IReadOnlyList<string> Candidates(string? configured, string? assemblyFolder, string start)
    {
        if (!string.IsNullOrWhiteSpace(configured))
        {
            // Somebody who names a folder wants that one: another copy found elsewhere would be a surprise.
            return [Path.GetFullPath(configured)];
        }

        List<string> folders = [];
        foreach (string? beside in (ReadOnlySpan<string?>)[assemblyFolder, start])
        {
            if (!string.IsNullOrEmpty(beside))
            {
                Add(Path.Combine(beside, "native"));
            }
        }

        for (DirectoryInfo? folder = new(start); folder is not null; folder = folder.Parent)
        {
            // Built assemblies lie in artifacts/ themselves, so artifacts/artifacts is never one.
            if (folder.Name != "artifacts")
            {
                Add(Path.Combine(folder.FullName, "artifacts", "native"));
            }
        }

        return folders;

        void Add(string folder)
        {
            string full = Path.GetFullPath(folder);
            if (!folders.Contains(full))
            {
                folders.Add(full);
            }
        }
    }

    /// <summary>The full path of the library in the first folder that has it.</summary>
    /// <exception cref="NativeLibraryException">None has it.</exception>
    public static string Find(IReadOnlyList<string> folders)
    {
        foreach (string folder in folders)
        {
            string path = Path.Combine(folder, FileName);
            if (File.Exists(path))
            {
                return path;
            }
        }

        throw new NativeLibraryException(
            $"{FileName} was not found. Looked in: {string.Join(", ", folders)}. {Remedy}");
    }

    /// <summary>Loads one file and checks that it is a libedgekv of our version.</summary>
    /// <exception cref="NativeLibraryException">It is not, or it cannot be loaded.</exception>
    public static unsafe nint LoadLibrary(string path)
    {
        nint library;
        try
        {
            library = NativeLibrary.Load(path);
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
        {
            throw new NativeLibraryException($"{path} cannot be loaded: {e.Message.Trim()} {Remedy}", e);
        }

        if (!NativeLibrary.TryGetExport(library, nameof(NativeMethods.edgekv_abi_version), out nint function))
        {
            NativeLibrary.Free(library);
            throw new NativeLibraryException($"{path} is no EdgeKV library: it has no edgekv_abi_version. {Remedy}");
        }

        uint version = ((delegate* unmanaged[Cdecl]<uint>)function)();
        if (version != NativeMethods.AbiVersion)
        {
            NativeLibrary.Free(library);
            throw new NativeLibraryException(
                $"{path} has interface version {version}; this EdgeKV needs version {NativeMethods.AbiVersion}. {Remedy}");
        }

        return library;
    }

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? searchPath) =>
        name == NativeMethods.Library ? _library : 0;

    private static string? AssemblyFolder()
    {
#pragma warning disable IL3000 // empty in a single file, which Candidates knows
        string location = typeof(NativeLibraryLoader).Assembly.Location;
#pragma warning restore IL3000
        return location.Length == 0 ? null : Path.GetDirectoryName(location);
    }
}
