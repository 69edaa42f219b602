using System.Runtime.InteropServices;

namespace EdgeKV.Files;

/// <summary>
/// What a path leads to, and which file it is. .NET tells neither, so Linux is asked itself. Elsewhere there are files and folders only, and a file is known by its path
/// with its own links followed.
/// </summary>
/// <param name="Kind">What it is.</param>
/// <param name="Device">The file system that it lies on; 0 where that is not known.</param>
/// <param name="Number">The file's number on it; 0 where that is not known.</param>
internal readonly unsafe partial record struct FileFacts(FileKind Kind, ulong Device, ulong Number)
{
    // struct statx and its constants are the same on all of Linux's architectures.
    private const int Size = 256;
    private const int ModeAt = 28;
    private const int NumberAt = 32;
    private const int MajorAt = 128;
    private const int DeviceAt = 136;
    private const int RelativeToCurrentFolder = -100;
    private const uint BasicFacts = 0x7ff;
    private const int KindMask = 0xf000;

    /// <summary>What <paramref name="path"/> leads to.</summary>
    public static FileFacts Of(string path)
    {
        if (path.Length == 0)
        {
            return default;
        }

        if (!OperatingSystem.IsLinux())
        {
            return new FileFacts(Directory.Exists(path) ? FileKind.Folder : File.Exists(path) ? FileKind.Regular : FileKind.None, 0, 0);
        }

        Span<byte> facts = stackalloc byte[Size];
        fixed (byte* buffer = facts)
        {
            if (statx(RelativeToCurrentFolder, Path.GetFullPath(path), 0, BasicFacts, buffer) != 0)
            {
                return default;
            }
        }

        FileKind kind = (MemoryMarshal.Read<ushort>(facts[ModeAt..]) & KindMask) switch
        {
            0x8000 => FileKind.Regular,
            0x4000 => FileKind.Folder,
            0x1000 => FileKind.Pipe,
            0x2000 => IsTerminal(MemoryMarshal.Read<uint>(facts[MajorAt..])) ? FileKind.Terminal : FileKind.Device,
            _ => FileKind.Other,
        };
        return new FileFacts(kind, MemoryMarshal.Read<ulong>(facts[DeviceAt..]), MemoryMarshal.Read<ulong>(facts[NumberAt..]));
    }

    /// <summary>What tells a file or folder from all others, whatever links and spellings lead to it.</summary>
    /// <param name="path">A path that leads to something.</param>
    public static (ulong Device, ulong Number, string Place) IdentityOf(string path)
    {
        FileFacts facts = Of(path);
        return (facts.Device, facts.Number, facts.Number != 0 ? string.Empty : FilePlace.Of(path).Path);
    }

    // Numbers of Linux's drivers (its admin-guide/devices.txt): consoles and serial lines, the process's own terminal, and those of windows and remote logins.
    private static bool IsTerminal(uint major) => major is 4 or 5 or (>= 136 and <= 143);

    // Its name is the system's.
    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int statx(int folder, string path, int flags, uint mask, byte* facts);
}
