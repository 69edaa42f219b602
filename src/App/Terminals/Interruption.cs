using System.Runtime.InteropServices;

namespace EdgeKV.Cli.Terminals;

/// <summary>
/// Ctrl-C and SIGTERM. The first one asks the work to stop. What has not stopped after <see cref="Grace"/>, or at the second signal, is left behind: the process ends from
/// the signal's own thread, whatever the others do.
/// </summary>
internal sealed partial class Interruption : IDisposable
{
    /// <summary>Time that work has to stop.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(0.9);

    private readonly CancellationTokenSource _stop = new();
    private readonly Terminal _terminal;
    private readonly PosixSignalRegistration[] _signals;
    private int _seen;

    public Interruption(Terminal terminal)
    {
        _terminal = terminal;
        _signals = [PosixSignalRegistration.Create(PosixSignal.SIGINT, Handle), PosixSignalRegistration.Create(PosixSignal.SIGTERM, Handle)];
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
