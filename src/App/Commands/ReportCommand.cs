using System.CommandLine;
using EdgeKV.Cli.Outputs;
using EdgeKV.Cli.Rendering;
using EdgeKV.Cli.Terminals;
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

    private readonly Option<bool> _force = OptionParsing.Force("--output");

    public Command Create(Terminal terminal)
    {
        Command command = new("report", "Write a run's report: one HTML file that needs no network, its tables as CSV beside it.") { _folder, _output, _force };
        command.SetAction(parsed =>
        {
            string folder = parsed.GetRequiredValue(_folder);
            RunFolder.ReadManifest(folder);
            foreach ((int index, string file) in ReportWriter.FilesOf(folder, parsed.GetValue(_output)).Index())
            {
                // The page comes first. Its tables are files that nobody named: what is in their place is moved away by hand.
                new Output(file, OutputKind.Report, _output.Name) { Force = index == 0 && parsed.GetValue(_force), Remedy = index == 0 ? null : "move it away" }.Ensure(
                    RunFolder.FilesOf(folder).Select(part => ("a file of the run", (string?)part)));
            }

            WrittenReport report = ReportWriter.Write(folder, parsed.GetValue(_output));
            RunTables.Write(terminal.OutConsole(), report.Statistics);
            terminal.Out.WriteLine($"{report.Path}, and {report.Tables.Count} tables as CSV beside it.");
            return (int)ExitCode.Success;
        });
        return command;
    }
}
