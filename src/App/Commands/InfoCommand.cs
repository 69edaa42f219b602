using System.CommandLine;
using EdgeKV.Cli.Asking;
using EdgeKV.Cli.Rendering;
using EdgeKV.Cli.Sizing;
using EdgeKV.Cli.Terminals;
using EdgeKV.Models;
using EdgeKV.Profiles;

namespace EdgeKV.Cli.Commands;

/// <summary><c>edgekv info MODEL</c>: what a model's KV cache takes, how much context fits, and its profile.</summary>
internal sealed class InfoCommand
{
    private const long DefaultMemory = 1L << 30;

    private readonly ModelOption _model = new();

    private readonly Option<long?> _memory = OptionParsing.Size("--memory", "Memory for the KV cache [default: 1GiB]");

    private readonly Option<bool> _json = OptionParsing.Json();

    public Command Create(Terminal terminal)
    {
        Command command = new("info", "Show what a model's KV cache takes per token, how much context fits a given memory, and the model's profile.")
        {
            _memory, _json,
        };
        _model.AddTo(command);
        command.SetAction((parsed, ct) => RunAsync(parsed, terminal, ct));
        return command;
    }

    private async Task<int> RunAsync(ParseResult parsed, Terminal terminal, CancellationToken ct)
    {
        string path = _model.Find(parsed);
        using EdgeModel model = await ModelLoading.LoadAsync(path, progress: null, ct);
        ModelSizing sizing = ModelSizing.From(
            ModelFacts.Of(model), ProfileFacts.Of(model.Profile), model.Bytes, model.KvMemory, parsed.GetValue(_memory) ?? DefaultMemory);
        if (parsed.GetValue(_json))
        {
            JsonOutput.Write(terminal.Out, sizing);
        }
        else
        {
            InfoTable.Write(terminal.OutConsole(), sizing);
        }

        return (int)ExitCode.Success;
    }
}
