using EdgeKV.Native.Loading;
using LLama.Abstractions;
using LLama.Native;

namespace EdgeKV.Native.Tests;

/// <summary>What EdgeKV's policy makes of another policy's choices. LLamaSharp is not asked.</summary>
public sealed class SelectingPolicyTests : IDisposable
{
    private static readonly SystemInfo System = new(global::System.Runtime.InteropServices.OSPlatform.Linux, 0, null);

    private readonly string _folder = Directory.CreateTempSubdirectory("edgekv-loader-").FullName;
    private readonly List<string> _reasons = [];

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Apply_NoFile_PassesTheChoiceThroughAndListsWhatWasTried()
    {
        string[] folders = [Path.Combine(_folder, "one"), Path.Combine(_folder, "two")];
        Choice choice = new("libllama.so");

        IEnumerable<INativeLibrary> applied = Policy(folders, choice).Apply(Description(), System);

        Assert.Same(choice, Assert.Single(applied));
        string reason = Assert.Single(_reasons);
        Assert.All(folders, folder => Assert.Contains(folder, reason, StringComparison.Ordinal));
        Assert.Contains(LibraryFile.Name, reason, StringComparison.Ordinal);
        Assert.Contains("./build.sh", reason, StringComparison.Ordinal);
    }

    [Fact]
    public void Apply_WithLibrary_PassesTheChoiceThroughAndSaysWhy()
    {
        Choice choice = new("/given/libllama.so");

        IEnumerable<INativeLibrary> applied = Policy(Engine, choice).Apply(Description(path: "/given/libllama.so"), System);

        Assert.Same(choice, Assert.Single(applied));
        Assert.Contains("WithLibrary names /given/libllama.so", Assert.Single(_reasons), StringComparison.Ordinal);
    }

    [Fact]
    public void Apply_OtherLibraries_PassThrough()
    {
        Choice choice = new("libmtmd.so");

        Assert.Same(choice, Assert.Single(Policy(Engine, choice).Apply(Description(NativeLibraryName.Mtmd), System)));
        Assert.Empty(_reasons);
    }

    [Fact]
    public void Prepare_ChoiceThatIsNotInstalled_GivesNothingAndIsNoReason()
    {
        INativeLibrary library = Assert.Single(Policy(Engine, new Choice("runtimes/none/libllama.so")).Apply(Description(), System));

        Assert.Empty(library.Prepare(System));
        Assert.Empty(_reasons);
    }

    [Fact]
    public void Prepare_UnknownGgml_GivesTheChoiceItselfAndSaysWhatWasFound()
    {
        string choice = Folder("other", "ggml-base");
        File.WriteAllText(choice, string.Empty);

        INativeLibrary library = Assert.Single(Policy(Engine, new Choice(choice)).Apply(Description(), System));

        Assert.Equal([choice], library.Prepare(System));
        string reason = Assert.Single(_reasons);
        Assert.Contains("is ggml of an unknown version", reason, StringComparison.Ordinal);
        Assert.Contains(string.Join(" and ", GgmlVersions.Known), reason, StringComparison.Ordinal);
        Assert.Empty(ProcessLibraries.In(Path.GetDirectoryName(choice)!));
    }

    [Fact]
    public void Prepare_BackendThatDoesNotLoad_LeavesNothingLoadedForTheNextChoice()
    {
        // A GPU's folder on a machine without its driver: all of ggml is fine but the backend.
        string working = WorkingFolder;
        string broken = Folder("cuda12");
        foreach (string name in (string[])["ggml-base", "ggml-cpu", "ggml"])
        {
            File.Copy(Path.Combine(working, LoadedLibraries.FileName(name)), Path.Combine(Path.GetDirectoryName(broken)!, LoadedLibraries.FileName(name)));
        }

        File.WriteAllText(Path.Combine(Path.GetDirectoryName(broken)!, LoadedLibraries.FileName("ggml-cuda")), "not a library");
        File.WriteAllText(broken, string.Empty);
        EdgeKVRuntime.EnsureLoaded();

        INativeLibrary[] libraries =
        [
            .. Policy(Engine, new Choice(broken), new Choice(Path.Combine(working, LibraryFile.Name))).Apply(Description(), System),
        ];

        Assert.Empty(libraries[0].Prepare(System));
        Assert.Empty(ProcessLibraries.In(_folder));
        Assert.Equal([EdgeKVLibrary.Path], libraries[1].Prepare(System));
        Assert.Empty(_reasons);
    }

    [Fact]
    public void Prepare_LibraryThatIsNotEdgeKVs_GivesTheChoiceItself()
    {
        EdgeKVRuntime.EnsureLoaded();
        string engine = Path.Combine(Directory.CreateDirectory(Path.Combine(_folder, "engine")).FullName, LibraryFile.Name);
        File.Copy(LibraryFileTests.AnotherLibrary, engine);
        string choice = Path.Combine(WorkingFolder, LibraryFile.Name);

        INativeLibrary library = Assert.Single(Policy([Path.GetDirectoryName(engine)!], new Choice(choice)).Apply(Description(), System));

        Assert.Equal([choice], library.Prepare(System));
        Assert.Single(_reasons);
    }

    private static IReadOnlyList<string> Engine
    {
        get
        {
            EdgeKVRuntime.EnsureLoaded();
            return [Path.GetDirectoryName(EdgeKVLibrary.Path)!];
        }
    }

    /// <summary>A folder of LLamaSharp's backend package whose libraries this machine can load.</summary>
    private static string WorkingFolder => Path.GetDirectoryName(
        Assert.Single(ProcessLibraries.Named(LoadedLibraries.FileName("ggml-base")), path => !path.Contains("edgekv-loader-", StringComparison.Ordinal)))!;

    private static NativeLibraryConfig.Description Description(NativeLibraryName library = NativeLibraryName.LLama, string? path = null) =>
        new(path, library, UseCuda: false, UseVulkan: false, AvxLevel.Avx2, AllowFallback: true, SkipCheck: false, SearchDirectories: []);

    private EdgeKVSelectingPolicy Policy(IReadOnlyList<string> folders, params INativeLibrary[] choices) => new(new Chooser(choices), folders, _reasons.Add);

    /// <summary>A folder with libraries that are not ggml's, and the path of its libllama.</summary>
    private string Folder(string name, params string[] libraries)
    {
        string folder = Directory.CreateDirectory(Path.Combine(_folder, name)).FullName;
        foreach (string library in libraries)
        {
            File.Copy(LibraryFileTests.AnotherLibrary, Path.Combine(folder, LoadedLibraries.FileName(library)));
        }

        return Path.Combine(folder, LibraryFile.Name);
    }

    private sealed class Chooser(INativeLibrary[] choices) : INativeLibrarySelectingPolicy
    {
        public IEnumerable<INativeLibrary> Apply(
            NativeLibraryConfig.Description description, SystemInfo systemInfo, NativeLogConfig.LLamaLogCallback? logCallback = null) => choices;
    }

    private sealed class Choice(string path) : INativeLibrary
    {
        public NativeLibraryMetadata? Metadata => null;

        public IEnumerable<string> Prepare(SystemInfo systemInfo, NativeLogConfig.LLamaLogCallback? logCallback = null) => [path];
    }
}
