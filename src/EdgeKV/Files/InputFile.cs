using System.Globalization;

namespace EdgeKV.Files;

/// <summary>
/// Opens what is to be read, and refuses what may never end. Texts are read from regular files, and from pipes and terminals, as shells hand them over in place of files. What
/// is sought in must be a regular file. Character devices such as /dev/zero, folders, disks and sockets are refused.
/// </summary>
/// <remarks>All failures are an <see cref="IOException"/> whose message says what is wrong in a few words, without the path. Whoever reads a file says which it was.</remarks>
public static class InputFile
{
    /// <summary>The most bytes of a text: 1,023 MiB. The longest text of .NET has a few characters less than 1,024 Mi.</summary>
    public const long MostTextBytes = 1023L << 20;

    private const int Block = 1 << 16;

    /// <summary>Opens a regular file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="share">What others may do with it meanwhile.</param>
    /// <exception cref="IOException">It is no regular file, it is not there, or this user may not read it.</exception>
    public static FileStream Open(string path, FileShare share = FileShare.Read)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return Open(path, share, FileKind.Regular);
    }

    /// <summary>Reads a whole text. A pipe is waited for until somebody has written it.</summary>
    /// <param name="path">A regular file, a pipe or a terminal.</param>
    /// <param name="most">The most bytes that are read, up to <see cref="MostTextBytes"/>.</param>
    /// <exception cref="IOException">It is something else, it is not there, this user may not read it, or it is larger.</exception>
    public static byte[] ReadAll(string path, long most = MostTextBytes)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        using FileStream file = Open(path, FileShare.ReadWrite, FileKind.Regular, FileKind.Pipe, FileKind.Terminal);
        return ReadAll(file, most, CancellationToken.None);
    }

    /// <summary>Reads a whole text that must be a regular file.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="IOException">It is no regular file, it is not there, this user may not read it, or it is larger than <see cref="MostTextBytes"/>.</exception>
    public static byte[] ReadRegular(string path)
    {
        using FileStream file = Open(path);
        return ReadAll(file);
    }

    /// <summary>Reads a stream to its end.</summary>
    /// <param name="stream">The stream; stays the caller's.</param>
    /// <exception cref="IOException">It cannot be read, or it is larger than <see cref="MostTextBytes"/>.</exception>
    public static byte[] ReadAll(Stream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        return ReadAll(stream, MostTextBytes, CancellationToken.None);
    }

    /// <summary>Reads a whole text, and can be stopped while it waits for a pipe.</summary>
    /// <param name="path">A regular file, a pipe or a terminal.</param>
    /// <param name="most">The most bytes that are read, up to <see cref="MostTextBytes"/>.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="IOException">It is something else, it is not there, this user may not read it, or it is larger.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static Task<byte[]> ReadAllAsync(string path, long most, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return WaitAsync(() => ReadAll(path, most), cancellationToken);
    }

    /// <summary>Reads a stream to its end, and can be stopped while it waits for more.</summary>
    /// <param name="stream">The stream, such as standard input; stays the caller's.</param>
    /// <param name="most">The most bytes that are read, up to <see cref="MostTextBytes"/>.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="IOException">It cannot be read, or it is larger.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static Task<byte[]> ReadAllAsync(Stream stream, long most, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(stream);
        return WaitAsync(() => ReadAll(stream, most, cancellationToken), cancellationToken);
    }

    /// <summary>Waits for work that reads, which no token reaches while a pipe has nothing to read. When it is cancelled, the work is left behind.</summary>
    /// <param name="read">Reads. It may go on after the caller has ended, so it must use nothing that the caller disposes.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static Task<T> WaitAsync<T>(Func<T> read, CancellationToken cancellationToken) => Task.Run(read, cancellationToken).WaitAsync(cancellationToken);

    /// <summary>Whether a path leads to a regular file.</summary>
    /// <param name="path">The path; it may lead to nothing.</param>
    public static bool IsRegular(string path) => FileFacts.Of(path).Kind == FileKind.Regular;

    private static FileStream Open(string path, FileShare share, params ReadOnlySpan<FileKind> allowed)
    {
        FileKind kind = FileFacts.Of(path).Kind;
        if (kind != FileKind.None && !allowed.Contains(kind))
        {
            throw new IOException(kind switch
            {
                FileKind.Folder => "it is a folder, not a file",
                FileKind.Pipe => "it is a pipe, not a file",
                FileKind.Other => "it is a disk or a socket, not a file",
                _ => "it is a device, not a file",
            });
        }

        try
        {
            return new FileStream(path, FileMode.Open, FileAccess.Read, share);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new IOException("it does not exist", e);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new IOException("this user may not read it", e);
        }
        catch (Exception e) when (e is ArgumentException or NotSupportedException)
        {
            throw new IOException("this is no path", e);
        }
        catch (IOException e)
        {
            throw new IOException(Reason(e), e);
        }
    }

    private static byte[] ReadAll(Stream stream, long most, CancellationToken cancellation)
    {
        List<byte[]> blocks = [];
        long length = 0;
        try
        {
            // A file of the system says that it is empty, and is not.
            if (stream is FileStream { CanSeek: true } && stream.Length > most)
            {
                throw TooLarge(most);
            }

            for (byte[] block = new byte[Block]; stream.ReadAtLeast(block, Block, throwOnEndOfStream: false) is > 0 and int read; block = new byte[Block])
            {
                cancellation.ThrowIfCancellationRequested();
                length += read;
                blocks.Add(read == Block ? block : block[..read]);
                if (length > most)
                {
                    throw TooLarge(most);
                }
            }
        }
        catch (UnauthorizedAccessException e)
        {
            throw new IOException("this user may not read it", e);
        }

        byte[] all = new byte[length];
        int at = 0;
        foreach (byte[] block in blocks)
        {
            block.CopyTo(all, at);
            at += block.Length;
        }

        return all;
    }

    private static IOException TooLarge(long most) =>
        new(string.Create(CultureInfo.InvariantCulture, $"it is larger than {most / (1 << 20):N0} MiB, the most that is read; give a part of it"));

    // The system's own words name the path once more.
    private static string Reason(IOException e) => e.Message.Split(" : '")[0].TrimEnd('.', ' ');
}
