using Spectre.Console;

namespace EdgeKV.Cli;

/// <summary>The streams that a command reads and writes, and whether a person watches them.</summary>
/// <param name="WatchedOut">Standard output is a terminal.</param>
/// <param name="WatchedError">Standard error is a terminal.</param>
internal sealed record Terminal(Stream Input, TextWriter Out, TextWriter Error, bool WatchedOut, bool WatchedError)
{
    /// <summary>Columns of a line where no terminal says how wide it is.</summary>
    private const int PlainWidth = 100;

    /// <summary>The process's own.</summary>
    public static Terminal FromProcess() =>
        new(Console.OpenStandardInput(), Console.Out, Console.Error, !Console.IsOutputRedirected, !Console.IsErrorRedirected);

    /// <summary>A console for tables on standard output: colours for a person, plain text for a pipe.</summary>
    public IAnsiConsole OutConsole() => Create(Out, WatchedOut);

    /// <summary>A console for progress and notes on standard error.</summary>
    public IAnsiConsole ErrorConsole() => Create(Error, WatchedError);

    private static IAnsiConsole Create(TextWriter writer, bool watched)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = watched ? AnsiSupport.Detect : AnsiSupport.No,
            ColorSystem = watched ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
            Interactive = watched ? InteractionSupport.Detect : InteractionSupport.No,
            Out = new AnsiConsoleOutput(writer),
        });
        if (!watched)
        {
            console.Profile.Width = PlainWidth;
            console.Profile.Capabilities.Unicode = true;
        }

        return console;
    }
}
