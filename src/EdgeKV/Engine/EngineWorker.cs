namespace EdgeKV.Engine;

/// <summary>
/// One thread on which a context's long work runs, one item after another. The native library's compute threads belong to the thread that
/// calls it, and spin for a while after each step: work that moved between pool threads would leave teams of them behind.
/// </summary>
/// <remarks>
/// The thread starts with the first item and ends when it has been idle for a while, so a context that nobody disposes leaves none behind.
/// </remarks>
internal sealed class EngineWorker
{
    private static readonly TimeSpan Idle = TimeSpan.FromSeconds(5);

    private readonly object _gate = new();
    private readonly Queue<IWorkItem> _items = new();
    private bool _running;
    private bool _closed;

    /// <summary>A piece of work. It must not throw.</summary>
    internal interface IWorkItem
    {
        void Execute();
    }

    /// <summary>Runs work on the thread.</summary>
    /// <param name="work">The work; what it throws ends the task.</param>
    public Task<T> RunAsync<T>(Func<T> work)
    {
        Job<T> job = new(work);
        Post(job);
        return job.Task;
    }

    /// <summary>Has an item executed after those that were posted before. Allocates nothing once the queue has grown to its size.</summary>
    public void Post(IWorkItem item)
    {
        lock (_gate)
        {
            _items.Enqueue(item);
            if (_running)
            {
                Monitor.Pulse(_gate);
                return;
            }

            _running = true;
        }

        new Thread(Run) { IsBackground = true, Name = "EdgeKV context" }.Start();
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
            IWorkItem? item;
            lock (_gate)
            {
                while (!_items.TryDequeue(out item))
                {
                    if ((_closed || !Monitor.Wait(_gate, Idle)) && _items.Count == 0)
                    {
                        _running = false;
                        return;
                    }
                }
            }

            item.Execute();
        }
    }

    private sealed class Job<T>(Func<T> work) : IWorkItem
    {
        private readonly TaskCompletionSource<T> _source = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<T> Task => _source.Task;

        public void Execute()
        {
            try
            {
                _source.SetResult(work());
            }
            catch (OperationCanceledException e)
            {
                _source.SetCanceled(e.CancellationToken.IsCancellationRequested ? e.CancellationToken : new CancellationToken(canceled: true));
            }
#pragma warning disable CA1031 // handed to whoever awaits the task
            catch (Exception e)
#pragma warning restore CA1031
            {
                _source.SetException(e);
            }
        }
    }
}
