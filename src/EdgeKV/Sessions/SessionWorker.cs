namespace EdgeKV.Sessions;

/// <summary>
/// One thread on which a session's long work runs, one item at a time. The native library's compute threads belong to the thread that
/// calls it, and spin for a while after each step: work that hopped between pool threads would leave teams of them behind.
/// </summary>
/// <remarks>
/// The thread starts with the first item and ends when it has been idle for a while, so a forgotten session leaves none behind. Posting
/// allocates nothing.
/// </remarks>
internal sealed class SessionWorker
{
    private static readonly TimeSpan Idle = TimeSpan.FromSeconds(5);

    private readonly object _gate = new();
    private IWorkItem? _next;
    private bool _running;
    private bool _closed;

    /// <summary>A piece of work. It must not throw.</summary>
    internal interface IWorkItem
    {
        void Execute();
    }

    /// <summary>Has an item executed. The one before must have been executed.</summary>
    public void Post(IWorkItem item)
    {
        lock (_gate)
        {
            _next = item;
            if (_running)
            {
                Monitor.Pulse(_gate);
                return;
            }

            _running = true;
        }

        new Thread(Run) { IsBackground = true, Name = "EdgeKV session" }.Start();
    }

    /// <summary>Lets the thread end as soon as it has nothing to do. Items posted later still run.</summary>
    public void Close()
    {
        lock (_gate)
        {
            _closed = true;
            Monitor.Pulse(_gate);
        }
    }

    private void Run()
    {
        while (true)
        {
            IWorkItem item;
            lock (_gate)
            {
                while (_next is null)
                {
                    if (_closed || !Monitor.Wait(_gate, Idle))
                    {
                        if (_next is null)
                        {
                            _running = false;
                            return;
                        }
                    }
                }

                item = _next;
                _next = null;
            }

            item.Execute();
        }
    }
}
