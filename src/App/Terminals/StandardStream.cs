using System.Runtime.InteropServices;

namespace EdgeKV.Cli.Terminals;

/// <summary>
/// The process's standard output or error on POSIX systems. .NET's own drops what is written when the reader has gone, and says nothing.
/// </summary>
/// <param name="descriptor">1 or 2.</param>
/// <param name="failsSilently">For standard error: there is nobody left to tell.</param>
internal sealed unsafe partial class StandardStream(int descriptor, bool failsSilently) : Stream
{
    private const int GetFlags = 1;
    private const int CloseOnExec = 1;
    private const int Interrupted = 4;
    private const int BrokenPipe = 32;
    private const short Writable = 4;

    private readonly bool _isOpen = IsOpen(descriptor);

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    /// <summary>
    /// Whether a standard stream was given to this process. A descriptor that was not is soon taken by a file that the runtime opens, which unlike an inherited one is
    /// marked to be closed for child processes.
    /// </summary>
    public static bool IsOpen(int descriptor)
    {
        int flags = fcntl(descriptor, GetFlags);
        return flags >= 0 && (flags & CloseOnExec) == 0;
    }

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        if (!_isOpen && !failsSilently)
        {
            throw Unwritable("it is closed");
        }

        fixed (byte* start = buffer)
        {
            for (int done = 0; done < buffer.Length && (_isOpen || !failsSilently);)
            {
                nint written = write(descriptor, start + done, buffer.Length - done);
                int error = written < 0 ? Marshal.GetLastPInvokeError() : 0;
                if (written > 0)
                {
                    done += (int)written;
                }
                else if (error == Again)
                {
                    WaitForRoom();
                }
                else if (error != Interrupted)
                {
                    if (failsSilently)
                    {
                        return;
                    }

                    throw error == BrokenPipe ? new ReaderGoneException() : Unwritable(Marshal.GetPInvokeErrorMessage(error));
                }
            }
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    /// <summary>Nothing is buffered.</summary>
    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    // A pipe that does not block, as some parents give it.
    private static int Again => OperatingSystem.IsMacOS() ? 35 : 11;

    // Whatever ends the wait, a reader that went away included, the next write says what it was.
    private void WaitForRoom()
    {
        Waiting waiting = new() { Descriptor = descriptor, Events = Writable };
        _ = poll(&waiting, 1, -1);
    }

    /// <summary>What is thrown when standard output cannot be written.</summary>
    public static OutputException Unwritable(string reason) => new($"standard output cannot be written: {reason}; give it another place.");

    // Their names are the system's.
    [LibraryImport("libc", SetLastError = true)]
    private static partial nint write(int descriptor, byte* buffer, nint count);

    [LibraryImport("libc")]
    private static partial int fcntl(int descriptor, int command);

    [LibraryImport("libc")]
    private static partial int poll(Waiting* waiting, nuint count, int milliseconds);

    // struct pollfd
    private struct Waiting
    {
        public int Descriptor;
        public short Events;
        public short Happened;
    }
}
