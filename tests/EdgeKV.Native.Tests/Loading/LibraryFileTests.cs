using EdgeKV.Native.Loading;

namespace EdgeKV.Native.Tests;

/// <summary>Where EdgeKV's library is looked for, and what is said about a file that is not it.</summary>
public sealed class LibraryFileTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("edgekv-loader-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Folders_NothingConfigured_BesideTheProgramThenUpwards()
    {
        string start = Path.Combine(_folder, "artifacts", "bin", "app");

        IReadOnlyList<string> folders = LibraryFile.Folders(null, start);

        Assert.Equal(Path.Combine(start, "edgekv", LibraryFile.Platform, "native"), folders[0]);
        int checkout = folders.ToList().IndexOf(Path.Combine(_folder, "artifacts", "native", "engine"));
        Assert.True(checkout > 1, string.Join('\n', folders));
        Assert.Equal(folders.Count, folders.Distinct().Count());
    }

    [Fact]
    public void Folders_Configured_OnlyThere() =>
        Assert.All(LibraryFile.Folders(_folder, "/elsewhere"), folder => Assert.StartsWith(_folder, folder, StringComparison.Ordinal));

    [Fact]
    public void Find_SeveralFolders_TakesTheFirstThatHasIt()
    {
        string second = Directory.CreateDirectory(Path.Combine(_folder, "second")).FullName;
        string third = Directory.CreateDirectory(Path.Combine(_folder, "third")).FullName;
        foreach (string folder in (string[])[second, third])
        {
            File.WriteAllText(Path.Combine(folder, LibraryFile.Name), string.Empty);
        }

        Assert.Equal(Path.Combine(second, LibraryFile.Name), LibraryFile.Find([Path.Combine(_folder, "first"), second, third]));
        Assert.Null(LibraryFile.Find([_folder]));
    }

    [Fact]
    public void Check_NoLibrary_NamesTheFile()
    {
        string path = Path.Combine(_folder, LibraryFile.Name);
        File.WriteAllText(path, "not a library");

        string? reason = EdgeKVLibrary.Check(path, out nint library);

        Assert.StartsWith($"{path} cannot be loaded: ", reason, StringComparison.Ordinal);
        Assert.Equal(0, library);
    }

    [Fact]
    public void Check_AnotherLibrary_SaysThatItIsNotEdgeKVs() =>
        Assert.Contains("edgekv_abi_version", EdgeKVLibrary.Check(AnotherLibrary, out _), StringComparison.Ordinal);

    [Theory]
    [InlineData("0.17.0", true)]
    [InlineData("0.18.0", true)]
    [InlineData("0.19.0", false)]
    [InlineData("", false)]
    public void IsKnown_GgmlVersion_IsThatOfTheListAlone(string version, bool known) => Assert.Equal(known, GgmlVersions.IsKnown(version));

    [Fact]
    public void EnsureLoaded_Twice_SpeaksOurVersion()
    {
        EdgeKVRuntime.EnsureLoaded();
        EdgeKVRuntime.EnsureLoaded();

        Assert.True(EdgeKVRuntime.IsActive);
        Assert.Equal(NativeMethods.AbiVersion, NativeMethods.edgekv_abi_version());
        Assert.Equal(LibraryFile.Name, Path.GetFileName(EdgeKVLibrary.Path));
        Assert.Equal(EdgeKVLibrary.Path, Assert.Single(ProcessLibraries.Named(LibraryFile.Name)));
        Assert.Single(ProcessLibraries.Named(LoadedLibraries.FileName("ggml-base")), path => !path.Contains("edgekv-loader-", StringComparison.Ordinal));
    }

    /// <summary>A native library of the .NET runtime.</summary>
    internal static string AnotherLibrary => Directory.GetFiles(Path.GetDirectoryName(typeof(object).Assembly.Location)!, "*System.Native.*")
        .First(file => OperatingSystem.IsWindows() || !file.EndsWith(".dll", StringComparison.Ordinal));
}
