using System.CommandLine;
using EdgeKV.Cli.Asking;
using EdgeKV.Files;
using EdgeKV.Models;

namespace EdgeKV.Cli.Commands;

/// <summary>The model of a command, which is given as its argument or by an option.</summary>
internal sealed class ModelOption
{
    private readonly Argument<string?> _argument = new("MODEL")
    {
        Description = $"GGUF file; default: {ModelLocator.Variable}, then models/*.gguf of the checkout, then the user's data folder",
        Arity = ArgumentArity.ZeroOrOne,
    };

    private readonly Option<string?> _option = new("--model", "-m")
    {
        Description = "The same as MODEL",
        HelpName = "FILE",
    };

    public void AddTo(Command command)
    {
        command.Add(_argument);
        command.Add(_option);
        command.Validators.Add(result =>
        {
            if (result.GetValue(_argument) is { } argument && result.GetValue(_option) is { } option
                && argument != option && !OutputFile.AreSame(argument, option))
            {
                result.AddError($"MODEL {argument} and {_option.Name} {option} exclude each other; give one of them.");
            }
        });
    }

    /// <summary>The path of the model to load.</summary>
    /// <exception cref="CommandException">With <see cref="ExitCode.Model"/>.</exception>
    public string Find(ParseResult parsed) => ModelLoading.Find(Given(parsed));

    /// <summary>As the user wrote it; null: not at all.</summary>
    public string? Given(ParseResult parsed) => parsed.GetValue(_option) ?? parsed.GetValue(_argument);
}
