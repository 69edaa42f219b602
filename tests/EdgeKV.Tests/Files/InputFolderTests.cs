using System.Diagnostics;
using EdgeKV.Files;

namespace EdgeKV.Tests.Files;

/// <summary>Every file of a folder, once.</summary>
public sealed class InputFolderTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("edgekv-files-").FullName;

    public InputFolderTests() => Assert.SkipWhen(OperatingSystem.IsWindows(), "Links need rights on Windows.");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Files_LinksInACircle_GivesEveryFileOnceByItsOwnName()
    {
        File.WriteAllText(Path.Combine(Directory.CreateDirectory(Path.Combine(_folder, "texts")).FullName, "z.md"), "z");
        File.WriteAllText(Path.Combine(_folder, "b.md"), "b");
        File.CreateSymbolicLink(Path.Combine(_folder, "a"), ".");
        File.CreateSymbolicLink(Path.Combine(_folder, "c"), "texts");
        File.CreateSymbolicLink(Path.Combine(_folder, "texts", "a.md"), "../b.md");
        File.CreateSymbolicLink(Path.Combine(_folder, "nothing"), "none");

        Assert.Equal([Path.Combine(_folder, "b.md"), Path.Combine(_folder, "texts", "z.md")], InputFolder.Files(_folder));
    }

    [Fact]
    public void Files_LinkToAnotherFolder_GivesItsFiles()
    {
        string inside = Directory.CreateDirectory(Path.Combine(_folder, "inside")).FullName;
        File.WriteAllText(Path.Combine(Directory.CreateDirectory(Path.Combine(_folder, "outside")).FullName, "a.md"), "a");
        File.CreateSymbolicLink(Path.Combine(inside, "more"), "../outside");

        Assert.Equal([Path.Combine(inside, "more", "a.md")], InputFolder.Files(inside));
    }

    [Fact]
    public void Files_Pipe_IsLeftOut()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Named pipes are made so on Linux only.");
        using Process process = Process.Start("mkfifo", [Path.Combine(_folder, "pipe.md")]);
        process.WaitForExit();

        Assert.Equal(0, process.ExitCode);
        Assert.Empty(InputFolder.Files(_folder));
    }
}
