using System.CommandLine;
using System.CommandLine.Help;
using System.Text.RegularExpressions;
using EdgeKV.Cli.Terminals;

namespace EdgeKV.Cli.Commands;

/// <summary>The whole command line: parses, runs, and turns every failure into one line on standard error and an exit code.</summary>
internal static partial class CommandLineApp
{
    /// <summary>The command, as people type it.</summary>
    public const string Name = "edgekv";

    public static async Task<int> RunAsync(IReadOnlyList<string> args, Terminal terminal, CancellationToken ct = default)
    {
        try
        {
            terminal.EnsureOut();
            if (Arguments.NoText(args) is { } wrong)
            {
                return Report(terminal, ExitCode.Usage, $"{wrong}.");
            }

            // Questions may begin with '@'; response files are not worth breaking them.
            ParseResult parsed = Create(terminal).Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });
            if (parsed.Action is not HelpWithExamples && (Arguments.Unknown(parsed) ?? Arguments.Repeated(parsed.CommandResult) ?? Arguments.Empty(parsed.CommandResult) ?? (parsed.Errors is [var first, ..] ? first.Message : null)) is { } error)
            {
                return Report(terminal, ExitCode.Usage, UsageMessage(parsed, error));
            }

            return await parsed.InvokeAsync(
                new InvocationConfiguration
                {
                    EnableDefaultExceptionHandler = false,
                    Output = terminal.Out,
                    Error = terminal.Error,

                    // Signals are the program's to handle.
                    ProcessTerminationTimeout = null,
                },
                ct);
        }
        catch (Exception e)
        {
            (ExitCode code, string message) = Failures.Describe(e);
            return Report(terminal, code, message);
        }
    }

    // No RootCommand: that one calls itself by the assembly's name, and people type edgekv.
    private static Command Create(Terminal terminal)
    {
        HelpOption help = new();
        help.Action = new HelpWithExamples((HelpAction)help.Action!);
        Command root = new(Name, "Ask a local language model about a document with most of its KV cache removed.")
        {
            help,
            new VersionOption(),
            new AskCommand().Create(terminal),
            new InfoCommand().Create(terminal),
            new DevicesCommand().Create(terminal),
            new PoliciesCommand().Create(terminal),
            new CalibrateCommand().Create(terminal),
            new EvalCommand().Create(terminal),
            new BenchCommand().Create(terminal),
            new ReportCommand().Create(terminal),
        };
        root.SetAction(parsed => Report(terminal, ExitCode.Usage, $"no command given; use {Name} ask, {Name} info, {Name} devices, {Name} policies, {Name} calibrate, {Name} eval, {Name} bench, {Name} report or {Name} --help."));
        return root;
    }

    private static string UsageMessage(ParseResult parsed, string error)
    {
        string name = parsed.CommandResult.Command.Name;
        string command = name == Name ? Name : $"{Name} {name}";
        string message = Quoted().Replace(error.ReplaceLineEndings(" "), "$1").TrimEnd('.', ' ');
        return $"{message}; see {command} --help.";
    }

    // The parser's own quotes, not an apostrophe.
    [GeneratedRegex(@"(?<!\w)'([^']*)'(?!\w)")]
    private static partial Regex Quoted();

    private static int Report(Terminal terminal, ExitCode code, string message)
    {
        if (message.Length > 0)
        {
            terminal.Say(message);
        }

        return (int)code;
    }
}
