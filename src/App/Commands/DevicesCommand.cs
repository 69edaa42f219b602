using System.CommandLine;
using EdgeKV.Cli.Asking;
using EdgeKV.Cli.Rendering;
using EdgeKV.Cli.Terminals;
using EdgeKV.Models;

namespace EdgeKV.Cli.Commands;

/// <summary><c>edgekv devices</c>: what models can run on here, and why a backend is not in use.</summary>
internal sealed class DevicesCommand
{
    private readonly Option<bool> _json = OptionParsing.Json();

    public Command Create(Terminal terminal)
    {
        Command command = new("devices", "List what models can run on: processors and GPUs with their memory, the libraries in use, and why others are not.") { _json };
        command.SetAction(parsed =>
        {
            ModelLoading.Silence();
            BackendReport report = BackendReport.Create();
            if (parsed.GetValue(_json))
            {
                JsonOutput.Write(terminal.Out, report);
            }
            else
            {
                DeviceTable.Write(terminal.OutConsole(), report);
            }

            return (int)ExitCode.Success;
        });
        return command;
    }
}
