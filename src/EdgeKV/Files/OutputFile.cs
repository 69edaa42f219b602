using System.Security.Cryptography;
using System.Text;

namespace EdgeKV.Files;

/// <summary>
/// Writes files whole or not at all. The content is written beside the file's place, flushed to the disk and renamed. When anything fails, the earlier file is unchanged and
/// the one beside it is removed.
/// </summary>
/// <remarks>
/// A symbolic link stays a link, and the file that it points to is replaced: whoever made the link wants the file to lie there. Other hard links of a file keep its earlier
/// content. Pipes and character devices such as terminals are written as they are, since a rename would put a file in their place. Folders, disks and sockets are refused.
/// </remarks>
public static class OutputFile
{
    // Bytes, on the file systems of Linux.
    private const int LongestName = 255;

    /// <summary>Writes a file, in place of one that is there.</summary>
    /// <param name="path">The file; its folder exists.</param>
    /// <param name="write">Writes the content. What it throws removes the content again; an <see cref="IOException"/> counts as a failure to write.</param>
    /// <exception cref="OutputException">It cannot be written.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(write);
        (string target, bool passes) = PlaceOf(path);
        try
        {
            if (passes)
            {
                // At the end: what the process has written to its own output stays.
                using FileStream stream = new(target, FileMode.Append, FileAccess.Write, FileShare.ReadWrite);
                write(stream);
                return;
            }

            Replace(target, write);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Unwritable(path, e);
        }
    }

    /// <summary>Makes the folder of a file, where there is none.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="OutputException">It cannot be made.</exception>
    public static void MakeFolder(string path)
    {
        try
        {
            Directory.GetParent(path)?.Create();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw Unwritable(path, e);
        }
    }

    /// <summary>Finds out before long work whether <see cref="Write"/> can write a file. Room on the disk is not checked.</summary>
    /// <param name="path">The file; its folder exists.</param>
    /// <exception cref="OutputException">It cannot be written.</exception>
    public static void EnsureWritable(string path)
    {
        (string target, bool passes) = PlaceOf(path);
        if (passes)
        {
            return;
        }

        try
        {
            if (!File.Exists(target))
            {
                TryName(target);
            }
            else
            {
                // A file that must not be changed is not replaced either.
                using FileStream there = new(target, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
            }

            using FileStream beside = new(Beside(target), FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 1, FileOptions.DeleteOnClose);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Unwritable(path, e);
        }
    }

    /// <summary>Finds out before long work whether a folder can be made, and leaves nothing.</summary>
    /// <param name="folder">The folder; it may be there.</param>
    /// <exception cref="OutputException">It cannot be made.</exception>
    public static void EnsureFolder(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        Stack<string> missing = [];
        for (string? place = Path.GetFullPath(folder); place is not null && !Directory.Exists(place); place = Path.GetDirectoryName(place))
        {
            missing.Push(place);
        }

        Stack<string> made = [];
        try
        {
            foreach (string place in missing)
            {
                Directory.CreateDirectory(place);
                made.Push(place);
            }

            foreach (string place in made)
            {
                Directory.Delete(place);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            foreach (string place in made.Where(Directory.Exists))
            {
                Directory.Delete(place);
            }

            throw Unwritable(folder, e);
        }
    }

    /// <summary>Whether a path leads to nothing: to no file, folder or anything else. A symbolic link to nothing does.</summary>
    /// <param name="path">The path.</param>
    public static bool IsNothing(string path) => FileFacts.Of(path).Kind == FileKind.None;

    /// <summary>
    /// Whether a path leads to a regular file, whose content <see cref="Write"/> replaces. Links are followed. A file that takes the process's output is none under the name
    /// /dev/stdout.
    /// </summary>
    /// <param name="path">The path.</param>
    public static bool IsRegular(string path) => FileFacts.Of(path).Kind == FileKind.Regular && !FilePlace.Of(path).IsOwnStream;

    /// <summary>
    /// Whether two paths lead to the same file, whatever they are called: by other spellings, symbolic links or hard links. Paths that lead to nothing are the same as none.
    /// </summary>
    /// <param name="first">One path.</param>
    /// <param name="second">The other.</param>
    public static bool AreSame(string first, string second)
    {
        FileFacts one = FileFacts.Of(first);
        return one.Kind != FileKind.None
            && one == FileFacts.Of(second)
            && (one.Number != 0 || FilePlace.Of(first).Path.Equals(
                FilePlace.Of(second).Path, OperatingSystem.IsLinux() ? StringComparison.Ordinal : StringComparison.OrdinalIgnoreCase));
    }

    /// <summary>Whether a path leads to a folder or to something in it, whatever links and spellings lead there.</summary>
    /// <param name="path">The path; it may lead to nothing yet.</param>
    /// <param name="folder">The folder. Nothing lies in a file, or where nothing is.</param>
    public static bool LiesIn(string path, string folder)
    {
        if (FileFacts.Of(folder).Kind != FileKind.Folder)
        {
            return false;
        }

        try
        {
            string? place = FilePlace.Of(path).Path;
            while (place is not null && !AreSame(place, folder))
            {
                place = Path.GetDirectoryName(place);
            }

            return place is not null;
        }
        catch (IOException)
        {
            // Links in a circle lead nowhere.
            return false;
        }
    }

    /// <summary>
    /// A file that goes beside another while that is being made, such as its lock: the other's name with an ending. Where that is longer than names can be, a hash stands for
    /// the name.
    /// </summary>
    /// <param name="path">The other file.</param>
    /// <param name="ending">What follows its name.</param>
    public static string Companion(string path, string ending)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string name = Path.GetFileName(path);
        return Encoding.UTF8.GetByteCount(name + ending) <= LongestName
            ? path + ending
            : Path.Join(Path.GetDirectoryName(path), $".edgekv-{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(name)))[..16]}{ending}");
    }

    private static void Replace(string target, Action<Stream> write)
    {
        string beside = Beside(target);
        try
        {
            using (FileStream file = new(beside, FileMode.CreateNew, FileAccess.Write, FileShare.None))
            {
                if (!OperatingSystem.IsWindows() && File.Exists(target))
                {
                    File.SetUnixFileMode(file.SafeFileHandle, File.GetUnixFileMode(target));
                }

                write(file);
                file.Flush(flushToDisk: true);
            }

            File.Move(beside, target, overwrite: true);
        }
        catch
        {
            File.Delete(beside);
            throw;
        }
    }

    // The disk says whether it takes the name, not only the one beside. Where another process is first, it does.
    private static void TryName(string target)
    {
        try
        {
            using FileStream empty = new(target, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 1, FileOptions.DeleteOnClose);
        }
        catch (IOException) when (File.Exists(target))
        {
        }
    }

    // Not after the target's name, which may be as long as names can be.
    private static string Beside(string target) => Path.Combine(Path.GetDirectoryName(target)!, $".edgekv-{Path.GetRandomFileName()}.new");

    /// <summary>Where a file is to be written, and whether it only passes through.</summary>
    private static (string Target, bool Passes) PlaceOf(string path)
    {
        FileKind kind;
        (string Path, bool IsOwnStream) target;
        try
        {
            kind = FileFacts.Of(path).Kind;
            target = FilePlace.Of(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw Unwritable(path, e);
        }

        return kind switch
        {
            FileKind.Folder => throw new OutputException($"{path} is a folder; name the file to write."),
            FileKind.Other => throw new OutputException($"{path} is neither a file nor a pipe; name another file."),
            FileKind.Pipe or FileKind.Terminal or FileKind.Device => (path, true),
            _ when target.IsOwnStream => (path, true),
            _ => (target.Path, false),
        };
    }

    // The system's own words name the file beside, which nobody asked for.
    private static OutputException Unwritable(string path, Exception e) => new(
        $"{path} cannot be written: " + e switch
        {
            PathTooLongException => "its name is too long; take a shorter one.",
            FileNotFoundException => "its folder takes no files; name another file.",
            DirectoryNotFoundException => "its folder does not exist; make it, or name another file.",
            UnauthorizedAccessException => "this user may not; change the permissions of it and its folder, or name another file.",
            _ => $"{e.Message.Split(" : '")[0].TrimEnd('.', ' ')}; make room for it, or name another file.",
        },
        e);
}
