using System.CommandLine;
using EdgeKV.Cli.Rendering;
using EdgeKV.Cli.Terminals;

namespace EdgeKV.Cli.Commands;

/// <summary><c>edgekv policies</c>: all policies, what they cost, and their options.</summary>
internal sealed class PoliciesCommand
{
    private readonly Option<bool> _json = OptionParsing.Json();

    public Command Create(Terminal terminal)
    {
        Command command = new("policies", "List the policies: what they do, what they cost, and their options.") { _json };
        command.SetAction(parsed =>
        {
            var policies = PolicyList.All();
            if (parsed.GetValue(_json))
            {
                JsonOutput.Write(terminal.Out, policies);
            }
            else
            {
                PolicyTable.Write(terminal.OutConsole(), policies);
            }

            return (int)ExitCode.Success;
        });
        return command;
    }
}
