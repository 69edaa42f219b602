using System.Diagnostics;

namespace EdgeKV.App.Tests.Outputs;

/// <summary>A file system of 64 KiB in memory.</summary>
internal sealed class SmallDisk : IDisposable
{
    private const string FillName = "fill";

    private SmallDisk(string path) => Path = path;

    public string Path { get; }

    /// <summary>Names of all files and folders.</summary>
    public IEnumerable<string> Names => Directory.EnumerateFileSystemEntries(Path).Select(System.IO.Path.GetFileName).Order(StringComparer.Ordinal)!;

    /// <summary>Skips the test where it may not mount one.</summary>
    public static async Task<SmallDisk> MountAsync(string folder)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "A small disk is mounted so on Linux only.");
        string path = System.IO.Path.Combine(folder, "disk");
        Directory.CreateDirectory(path);
        Assert.SkipUnless((await Programs.TryAsync("mount", "-t", "tmpfs", "-o", "size=64k", "edgekv-test", path)).Code == 0, "Mounting a small disk needs root.");
        return new SmallDisk(path);
    }

    /// <summary>Takes all the room that is left.</summary>
    public void Fill()
    {
        using FileStream file = new(System.IO.Path.Combine(Path, FillName), FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0);
        try
        {
            while (true)
            {
                file.Write(new byte[1024]);
            }
        }
        catch (IOException)
        {
            // Full.
        }
    }

    public void Dispose()
    {
        using Process process = Process.Start("umount", [Path]);
        process.WaitForExit();
    }
}
