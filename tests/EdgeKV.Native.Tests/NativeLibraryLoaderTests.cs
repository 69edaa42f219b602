namespace EdgeKV.Native.Tests;

public sealed class NativeLibraryLoaderTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("edgekv-loader-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Candidates_NothingConfigured_BesideTheAssemblyThenUpwards()
    {
        string start = Path.Combine(_folder, "artifacts", "bin", "app");

        IReadOnlyList<string> folders = NativeLibraryLoader.Candidates(null, Path.Combine(_folder, "lib"), start);

        Assert.Equal(Path.Combine(_folder, "lib", "native"), folders[0]);
        Assert.Equal(Path.Combine(start, "native"), folders[1]);
        int checkout = folders.ToList().IndexOf(Path.Combine(_folder, "artifacts", "native"));
        Assert.True(checkout > 1, string.Join('\n', folders));
        Assert.DoesNotContain(folders, folder => folder.Contains("artifacts/artifacts", StringComparison.Ordinal));
        Assert.Equal(folders.Count, folders.Distinct().Count());
    }

    [Fact]
    public void Candidates_Configured_OnlyThere() =>
        Assert.Equal([_folder], NativeLibraryLoader.Candidates(_folder, Path.Combine(_folder, "lib"), _folder));

    [Fact]
    public void Find_SeveralFolders_TakesTheFirstThatHasIt()
    {
        string second = Directory.CreateDirectory(Path.Combine(_folder, "second")).FullName;
        string third = Directory.CreateDirectory(Path.Combine(_folder, "third")).FullName;
        foreach (string folder in (string[])[second, third])
        {
            File.WriteAllText(Path.Combine(folder, NativeLibraryLoader.FileName), string.Empty);
        }

        Assert.Equal(
            Path.Combine(second, NativeLibraryLoader.FileName), NativeLibraryLoader.Find([Path.Combine(_folder, "first"), second, third]));
    }

    [Fact]
    public void Find_Nowhere_ListsWhatWasTriedAndTheRemedy()
    {
        string[] folders = [Path.Combine(_folder, "one"), Path.Combine(_folder, "two")];

        NativeLibraryException exception = Assert.Throws<NativeLibraryException>(() => NativeLibraryLoader.Find(folders));

        Assert.All(folders, folder => Assert.Contains(folder, exception.Message, StringComparison.Ordinal));
        Assert.Contains(NativeLibraryLoader.FileName, exception.Message, StringComparison.Ordinal);
        Assert.Contains("./build.sh", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void LoadLibrary_NoLibrary_NamesTheFileAndTheRemedy()
    {
        string path = Path.Combine(_folder, NativeLibraryLoader.FileName);
        File.WriteAllText(path, "not a library");

        NativeLibraryException exception = Assert.Throws<NativeLibraryException>(() => NativeLibraryLoader.LoadLibrary(path));

        Assert.Contains(path, exception.Message, StringComparison.Ordinal);
        Assert.Contains("./build.sh", exception.Message, StringComparison.Ordinal);
        Assert.NotNull(exception.InnerException);
    }

    [Fact]
    public void LoadLibrary_AnotherLibrary_SaysThatItIsNoneOfOurs()
    {
        string runtime = Path.GetDirectoryName(typeof(object).Assembly.Location)!;
        string other = Directory.GetFiles(runtime, "*System.Native.*").First(file => !file.EndsWith(".dll", StringComparison.Ordinal)
            || OperatingSystem.IsWindows());

        NativeLibraryException exception = Assert.Throws<NativeLibraryException>(() => NativeLibraryLoader.LoadLibrary(other));

        Assert.Contains("edgekv_abi_version", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void EnsureLoaded_Twice_SpeaksOurVersion()
    {
        NativeLibraryLoader.EnsureLoaded();
        NativeLibraryLoader.EnsureLoaded();

        Assert.Equal(NativeMethods.AbiVersion, NativeMethods.edgekv_abi_version());
        Assert.True(File.Exists(Path.Combine(NativeLibraryLoader.Folder, NativeLibraryLoader.FileName)));
        Assert.True(NativeMethods.edgekv_device_count() > 0);
    }
}
