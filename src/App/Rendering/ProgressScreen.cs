using EdgeKV.Cli.Terminals;
using Spectre.Console;

namespace EdgeKV.Cli.Rendering;

/// <summary>A bar on standard error for long work while a person watches it; nothing in a pipe.</summary>
internal sealed class ProgressScreen(Terminal terminal)
{
    /// <summary>Runs one long stage and shows how far it is.</summary>
    /// <param name="title">What is being done, for people.</param>
    /// <param name="work">Reports shares from 0 to 1.</param>
    public async Task<T> StageAsync<T>(string title, Func<IProgress<double>, Task<T>> work)
    {
        if (!terminal.WatchedError)
        {
            return await work(new Silent());
        }

        return await terminal.ErrorConsole().Progress()
            .Columns(
                new TaskDescriptionColumn { Alignment = Justify.Left },
                new ProgressBarColumn(),
                new PercentageColumn(),
                new ElapsedTimeColumn(),
                new RemainingTimeColumn())
            .StartAsync(async context =>
            {
                ProgressTask bar = context.AddTask(Markup.Escape(title), maxValue: 1);
                T result = await work(new BarProgress(bar));
                bar.Value = 1;
                return result;
            });
    }

    // Progress<T> would post to the thread pool, and the last reports could come after the bar is gone.
    private sealed class BarProgress(ProgressTask bar) : IProgress<double>
    {
        public void Report(double value) => bar.Value = Math.Clamp(value, 0, 1);
    }

    private sealed class Silent : IProgress<double>
    {
        public void Report(double value)
        {
        }
    }
}
