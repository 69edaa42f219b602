using System.CommandLine;
using EdgeKV.Cli.Rendering;
using EdgeKV.Evaluation;

namespace EdgeKV.Cli.Commands;

/// <summary><c>edgekv report DIR</c>: a run's figures as one HTML file, with its tables as CSV beside it.</summary>
internal sealed class ReportCommand
{
    private readonly Argument<string> _folder = new("DIR")
    {
        Description = "Folder of a run, finished or not: run.json and results.jsonl",
    };

    private readonly Option<string?> _output = new("--output", "-o")
    {
        Description = $"HTML file to write; its tables go beside it as NAME-*.csv [default: DIR/{ReportWriter.DefaultName}]",
        HelpName = "FILE",
    };

    public Command Create(Terminal terminal)
    {
        Command command = new("report", "Write a run's report: one HTML file that needs no network, its tables as CSV beside it.") { _folder, _output };
        command.SetAction(parsed =>
        {
            WrittenReport report = ReportWriter.Write(parsed.GetRequiredValue(_folder), parsed.GetValue(_output));
            RunTables.Write(terminal.OutConsole(), report.Statistics);
            terminal.Out.WriteLine($"{report.Path}, and {report.Tables.Count} tables as CSV beside it.");
            return (int)ExitCode.Success;
        });
        return command;
    }
}
