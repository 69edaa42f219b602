using System.Collections.Concurrent;
using EdgeKV.Files;

namespace EdgeKV.Evaluation;

/// <summary>A file that one process holds at a time. The hold goes with the process, however that ends.</summary>
public static class FileLock
{
    // A process that gives the file back deletes it, perhaps just after it was looked at here.
    private const int MostTries = 100;

    // What .NET says of a file that another has: Windows' own code, or the number of EWOULDBLOCK.
    private static readonly int Taken = OperatingSystem.IsWindows() ? unchecked((int)0x80070020) : OperatingSystem.IsMacOS() ? 35 : 11;

    private static readonly ConcurrentDictionary<FileStream, bool> Held = [];

    /// <summary>Takes the file, and makes it where it is not there; disposing gives it back and deletes it.</summary>
    /// <param name="path">The file; its folder exists.</param>
    /// <returns>The hold; null: another process has it.</returns>
    /// <exception cref="OutputException">It cannot be made, or there is a file that is no lock, which is empty.</exception>
    public static IDisposable? Take(string path)
    {
        try
        {
            for (int left = MostTries; ; left--)
            {
                if (!IsForeign(path))
                {
                    if (Open(path) is { } file)
                    {
                        Held[file] = true;
                        return new Hold(file);
                    }

                    if (File.Exists(path) || left == 0)
                    {
                        return null;
                    }
                }
                else if (left == 0)
                {
                    throw new OutputException($"{path} would keep other processes away, but something else has that name; move it away.");
                }
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new OutputException($"{path} cannot be written: {e.Message.TrimEnd('.')}; name another place.", e);
        }
    }

    /// <summary>Gives back all that this process holds: for a process that ends without disposing what it has.</summary>
    public static void ReleaseAll()
    {
        foreach (FileStream file in Held.Keys)
        {
            Release(file);
        }
    }

    private static void Release(FileStream file)
    {
        if (!Held.TryRemove(file, out _))
        {
            return;
        }

        // Deleted while it is still held, so that it is nobody else's.
        if (!OperatingSystem.IsWindows())
        {
            File.Delete(file.Name);
        }

        file.Dispose();
        if (OperatingSystem.IsWindows())
        {
            File.Delete(file.Name);
        }
    }

    private static bool IsForeign(string path)
    {
        FileInfo there = new(path);
        return there.LinkTarget is not null || Directory.Exists(path) || (there.Exists && (!OutputFile.IsRegular(path) || there.Length > 0));
    }

    // Null: somebody else has it, or had it and deleted it, so that what was opened is a file that nobody else finds.
    private static FileStream? Open(string path)
    {
        FileStream file;
        try
        {
            file = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 1);
        }
        catch (IOException e) when (e.HResult == Taken)
        {
            return null;
        }

        if (IsStill(file, path))
        {
            return file;
        }

        file.Dispose();
        return null;
    }

    // Only Linux shows which file an open one is.
    private static bool IsStill(FileStream file, string path) =>
        !OperatingSystem.IsLinux() || OutputFile.AreSame(path, $"/proc/self/fd/{file.SafeFileHandle.DangerousGetHandle()}");

    private sealed class Hold(FileStream file) : IDisposable
    {
        public void Dispose() => Release(file);
    }
}
