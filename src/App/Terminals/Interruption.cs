using System.Globalization;
using System.Runtime.InteropServices;
using EdgeKV.Evaluation;

namespace EdgeKV.Cli.Terminals;

/// <summary>
/// Ctrl-C, SIGTERM, SIGQUIT, and SIGHUP of a terminal that was closed. A signal that the process was started to ignore, as nohup does, stays ignored. The first one asks the work to stop. What has not stopped after <see cref="Grace"/>, or at the second signal, is left behind: the process ends from
/// the signal's own thread, whatever the others do.
/// </summary>
internal sealed partial class Interruption : IDisposable
{
    /// <summary>Time that work has to stop.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(0.9);

    // By their numbers on Linux.
    private static readonly (PosixSignal Signal, int Number)[] Stopping =
        [(PosixSignal.SIGINT, 2), (PosixSignal.SIGTERM, 15), (PosixSignal.SIGQUIT, 3), (PosixSignal.SIGHUP, 1)];

    private readonly CancellationTokenSource _stop = new();
    private readonly Terminal _terminal;
    private readonly PosixSignalRegistration[] _signals;
    private int _seen;

    public Interruption(Terminal terminal)
    {
        _terminal = terminal;
        _signals = [.. Stopping.Where(signal => !IsIgnored(signal.Number)).Select(signal => PosixSignalRegistration.Create(signal.Signal, Handle))];
    }

    /// <summary>Cancelled by the first signal.</summary>
    public CancellationToken Token => _stop.Token;

    public void Dispose()
    {
        foreach (PosixSignalRegistration signal in _signals)
        {
            signal.Dispose();
        }
    }

    // Linux tells what a process was started with; elsewhere nothing does.
    private static bool IsIgnored(int signal)
    {
        const string Status = "/proc/self/status";
        const string Ignored = "SigIgn:";
        try
        {
            return File.ReadLines(Status).FirstOrDefault(line => line.StartsWith(Ignored, StringComparison.Ordinal)) is { } line
                && ulong.TryParse(line[Ignored.Length..].Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out ulong mask)
                && (mask >> (signal - 1) & 1) != 0;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private void Handle(PosixSignalContext context)
    {
        context.Cancel = true;
        if (Interlocked.Increment(ref _seen) > 1)
        {
            Leave();
        }

        // Threads of their own: the pool's may all be at work.
        new Thread(_stop.Cancel) { IsBackground = true }.Start();
        new Thread(() =>
        {
            Thread.Sleep(Grace);
            Leave();
        })
        { IsBackground = true }.Start();
    }

    private void Leave()
    {
        (ExitCode code, string message) = Failures.Describe(new OperationCanceledException());
        _terminal.Say(message);
        FileLock.ReleaseAll();
        if (OperatingSystem.IsWindows())
        {
            Environment.Exit((int)code);
        }

        // Not Environment.Exit, which waits for what does not stop.
        _exit((int)code);
    }

    [LibraryImport("libc")]
    private static partial void _exit(int code);
}
