using System.Text;
using EdgeKV.Cli.Commands;
using Spectre.Console;

namespace EdgeKV.Cli.Terminals;

/// <summary>The streams that a command reads and writes, and whether a person watches them.</summary>
/// <param name="Out">Standard output; what is written shows control characters as escapes.</param>
/// <param name="Error">Standard error, likewise.</param>
/// <param name="WatchedOut">Standard output is a terminal.</param>
/// <param name="WatchedError">Standard error is a terminal.</param>
internal sealed record Terminal(Stream Input, TextWriter Out, TextWriter Error, bool WatchedOut, bool WatchedError)
{
    /// <summary>Columns of a line where no terminal says how wide it is.</summary>
    private const int PlainWidth = 100;

    private const int Buffer = 1 << 14;

    private readonly TextWriter _out = Out;
    private readonly TextWriter _error = Error;

    public TextWriter Out { get; } = new Printable.Writer(Out);

    public TextWriter Error { get; } = new Printable.Writer(Error);

    /// <summary>Standard output was closed when the process began.</summary>
    private bool IsOutClosed { get; init; }

    /// <summary>The process's own.</summary>
    public static Terminal FromProcess()
    {
        bool isPosix = !OperatingSystem.IsWindows();
        return new Terminal(
            isPosix && !StandardStream.IsOpen(0) ? Stream.Null : Console.OpenStandardInput(),
            isPosix ? WriterOf(new StandardStream(1, failsSilently: false)) : Console.Out,
            isPosix ? WriterOf(new StandardStream(2, failsSilently: true)) : Console.Error,
            !Console.IsOutputRedirected,
            !Console.IsErrorRedirected)
        {
            IsOutClosed = isPosix && !StandardStream.IsOpen(1),
        };
    }

    /// <summary>Finds out before any work that nothing can be written.</summary>
    /// <exception cref="OutputException">Standard output is closed.</exception>
    public void EnsureOut()
    {
        if (IsOutClosed)
        {
            throw StandardStream.Unwritable("it is closed");
        }
    }

    /// <summary>Writes a message of the program on standard error, in one line.</summary>
    public void Say(string message)
    {
        Error.WriteLine($"{CommandLineApp.Name}: {message}");
        Error.Flush();
    }

    /// <summary>A console for tables on standard output: colours for a person, plain text for a pipe.</summary>
    public IAnsiConsole OutConsole() => Create(_out, WatchedOut);

    /// <summary>A console for progress and notes on standard error.</summary>
    public IAnsiConsole ErrorConsole() => Create(_error, WatchedError);

    private static StreamWriter WriterOf(Stream stream)
    {
        // A byte order mark would be the first thing in every pipe.
        Encoding encoding = Console.OutputEncoding is UTF8Encoding ? new UTF8Encoding(encoderShouldEmitUTF8Identifier: false) : Console.OutputEncoding;
        return new StreamWriter(stream, encoding, Buffer) { AutoFlush = true };
    }

    private static IAnsiConsole Create(TextWriter writer, bool watched)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = watched ? AnsiSupport.Detect : AnsiSupport.No,
            ColorSystem = watched ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
            Interactive = watched ? InteractionSupport.Detect : InteractionSupport.No,
            Out = new AnsiConsoleOutput(writer),
        });
        console.Pipeline.Attach(new Printable.Hook());
        if (!watched)
        {
            console.Profile.Width = PlainWidth;
            console.Profile.Capabilities.Unicode = true;
        }

        return console;
    }
}
