using System.Diagnostics;
using System.Text;
using EdgeKV.Files;

namespace EdgeKV.Tests.Files;

/// <summary>Files that are written whole or not at all.</summary>
public sealed class OutputFileTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("edgekv-files-").FullName;

    private string Place => Path.Combine(_folder, "place.txt");

    private IEnumerable<string?> Names => Directory.GetFiles(_folder).Select(Path.GetFileName).Order(StringComparer.Ordinal);

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Write_OverAFile_ReplacesIt()
    {
        File.WriteAllText(Place, "a long text that was there before");

        Write(Place, "new");

        Assert.Equal("new", File.ReadAllText(Place));
        Assert.Equal(["place.txt"], Names);
    }

    [Theory]
    [InlineData('x', 255)]
    [InlineData('é', 127)]
    public void Write_NameAsLongAsTheDiskTakes_IsWritten(char letter, int length)
    {
        string place = Path.Combine(_folder, new string(letter, length));

        OutputFile.EnsureWritable(place);
        Write(place, "new");

        Assert.Equal("new", File.ReadAllText(place));
        Assert.Single(Names);
    }

    [Fact]
    public void Companion_OfALongName_IsAFileOfItsOwnThatCanBeMade()
    {
        string one = Path.Combine(_folder, new string('é', 127));
        string other = Path.Combine(_folder, new string('x', 255));

        string[] companions = [OutputFile.Companion(one, ".lock"), OutputFile.Companion(other, ".lock"), OutputFile.Companion(Place, ".lock")];
        Array.ForEach(companions, companion => File.WriteAllText(companion, ""));

        Assert.Equal(3, Names.Count());
        Assert.Equal($"{Place}.lock", companions[2]);
        Assert.Equal(companions[0], OutputFile.Companion(one, ".lock"));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Write_DiskFullHalfway_KeepsWhatWasThere(bool isThere)
    {
        if (isThere)
        {
            File.WriteAllText(Place, "before");
        }

        OutputException e = Assert.Throws<OutputException>(() => OutputFile.Write(Place, stream =>
        {
            stream.Write(new byte[100_000]);
            throw new IOException("No space left on device");
        }));

        Assert.Contains($"{Place} cannot be written: No space left on device", e.Message, StringComparison.Ordinal);
        Assert.Equal(isThere ? ["place.txt"] : [], Names);
        Assert.Equal(isThere ? "before" : "", isThere ? File.ReadAllText(Place) : "");
    }

    [Fact]
    public void Write_Cancelled_KeepsWhatWasThere()
    {
        File.WriteAllText(Place, "before");

        Assert.Throws<OperationCanceledException>(() => OutputFile.Write(Place, _ => throw new OperationCanceledException()));

        Assert.Equal("before", File.ReadAllText(Place));
        Assert.Equal(["place.txt"], Names);
    }

    [Fact]
    public void Write_SymbolicLink_StaysOneAndItsFileIsReplaced()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Links need rights on Windows.");
        string link = Path.Combine(_folder, "link");
        File.CreateSymbolicLink(link, "place.txt");

        Write(link, "through a link to nothing");
        Assert.Equal("through a link to nothing", File.ReadAllText(Place));
        Write(link, "again");

        Assert.Equal("again", File.ReadAllText(Place));
        Assert.Equal("place.txt", new FileInfo(link).LinkTarget);
        Assert.Equal(["link", "place.txt"], Names);
    }

    [Fact]
    public void Write_LinksInACircle_IsRefused()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Links need rights on Windows.");
        File.CreateSymbolicLink(Place, "other");
        File.CreateSymbolicLink(Path.Combine(_folder, "other"), "place.txt");

        Assert.Throws<OutputException>(() => Write(Place, "x"));
    }

    [Fact]
    public void Write_Permissions_Stay()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("Windows has other permissions.");
            return;
        }

        File.WriteAllText(Place, "before");
        const UnixFileMode Mode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead;
        File.SetUnixFileMode(Place, Mode);

        Write(Place, "new");

        Assert.Equal(Mode, File.GetUnixFileMode(Place));
    }

    [Fact]
    public void Write_Pipe_GetsWhatIsWrittenAndStaysOne()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Named pipes are made so on Linux only.");
        Run("mkfifo", Place);
        using Process reader = Process.Start(new ProcessStartInfo("cat", [Place]) { RedirectStandardOutput = true })!;

        OutputFile.EnsureWritable(Place);
        Write(Place, "through a pipe");

        Assert.Equal("through a pipe", reader.StandardOutput.ReadToEnd());
        Assert.False(OutputFile.IsRegular(Place));
    }

    [Fact]
    public void Write_DeviceNode_IsWrittenAndStaysOne()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Device nodes are made so on Linux only.");
        Assert.SkipUnless(TryRun("mknod", Place, "c", "1", "7"), "A device node needs root.");

        Assert.Throws<OutputException>(() => Write(Place, "to a device that is always full"));

        Assert.False(OutputFile.IsRegular(Place));
        Assert.True(File.Exists(Place));
        Assert.Equal(["place.txt"], Names);
    }

    [Fact]
    public void Write_FolderOrNoFolder_SaysSo()
    {
        Assert.Contains("is a folder", Assert.Throws<OutputException>(() => Write(_folder, "x")).Message, StringComparison.Ordinal);
        Assert.Contains("cannot be written", Assert.Throws<OutputException>(() => Write(Path.Combine(_folder, "none", "x"), "x")).Message, StringComparison.Ordinal);
        Assert.Contains("cannot be written", Assert.Throws<OutputException>(() => OutputFile.EnsureWritable(Path.Combine(_folder, "none", "x"))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void EnsureWritable_NewName_LeavesNothing()
    {
        OutputFile.EnsureWritable(Place);

        Assert.Empty(Names);
    }

    [Fact]
    public void AreSame_LinksAndSpellings_AreFound()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Elsewhere files are known by their paths.");
        File.WriteAllText(Place, "x");
        string hard = Path.Combine(_folder, "hard");
        string soft = Path.Combine(_folder, "soft");
        string copy = Path.Combine(_folder, "copy");
        Run("ln", Place, hard);
        File.CreateSymbolicLink(soft, hard);
        File.Copy(Place, copy);

        Assert.True(OutputFile.AreSame(Place, hard));
        Assert.True(OutputFile.AreSame(Place, soft));
        Assert.True(OutputFile.AreSame(Place, Path.Combine(_folder, ".", "soft")));
        Assert.False(OutputFile.AreSame(Place, copy));
        Assert.False(OutputFile.AreSame(Path.Combine(_folder, "none"), Path.Combine(_folder, "none")));
    }

    [Fact]
    public void LiesIn_LinksAndSpellings_AreFollowed()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Links need rights on Windows.");
        string data = Directory.CreateDirectory(Path.Combine(_folder, "data")).FullName;
        string inside = Directory.CreateDirectory(Path.Combine(data, "a", "b")).FullName;
        string link = Path.Combine(_folder, "link");
        File.CreateSymbolicLink(link, "data");
        string deep = Path.Combine(_folder, "deep");
        File.CreateSymbolicLink(deep, inside);
        Directory.CreateDirectory(Path.Combine(_folder, "data2"));

        Assert.True(OutputFile.LiesIn(data, data));
        Assert.True(OutputFile.LiesIn(Path.Combine(link, "none", "yet"), data));
        Assert.True(OutputFile.LiesIn(Path.Combine(data, "none"), link));
        Assert.True(OutputFile.LiesIn(deep, link));
        Assert.False(OutputFile.LiesIn(Path.Combine(_folder, "data2", "x"), data));
        Assert.False(OutputFile.LiesIn(_folder, data));
        Assert.False(OutputFile.LiesIn(data, Path.Combine(_folder, "none")));
    }

    [Fact]
    public void Write_LinkThatGoesUpBehindALinkedFolder_IsWrittenWhereTheSystemWould()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Links need rights on Windows.");
        string inside = Directory.CreateDirectory(Path.Combine(_folder, "far", "away")).FullName;
        File.CreateSymbolicLink(Path.Combine(inside, "link"), "../place.txt");
        File.CreateSymbolicLink(Path.Combine(_folder, "near"), inside);

        Write(Path.Combine(_folder, "near", "link"), "new");

        Assert.Equal("new", File.ReadAllText(Path.Combine(_folder, "far", "place.txt")));
        Assert.False(File.Exists(Place));
    }

    [Fact]
    public void EnsureFolder_NewFolders_LeavesNothing()
    {
        OutputFile.EnsureFolder(Path.Combine(_folder, "a", "b"));
        OutputFile.EnsureFolder(_folder);
        Assert.Throws<OutputException>(() => OutputFile.EnsureFolder(Path.Combine(_folder, "a", new string('x', 300))));

        Assert.Empty(Directory.EnumerateFileSystemEntries(_folder));
    }

    private static void Write(string path, string text) => OutputFile.Write(path, stream => stream.Write(Encoding.UTF8.GetBytes(text)));

    private static void Run(string program, params string[] arguments) => Assert.True(TryRun(program, arguments), program);

    private static bool TryRun(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        process.WaitForExit();
        return process.ExitCode == 0;
    }
}
