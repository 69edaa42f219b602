using System.CommandLine;
using System.Globalization;
using EdgeKV.Calibration;
using EdgeKV.Cli.Asking;
using EdgeKV.Cli.Rendering;

namespace EdgeKV.Cli.Commands;

/// <summary><c>edgekv calibrate MODEL</c>: learns what lets the model's rows be scored while a document is read.</summary>
internal sealed class CalibrateCommand
{
    private readonly Argument<string?> _model = new("MODEL")
    {
        Description = "GGUF file; default: the model that ask would take",
        Arity = ArgumentArity.ZeroOrOne,
    };

    private readonly Option<string[]> _texts = new("--text", "-t")
    {
        Description = "Files and folders to learn from; may be given several times; default: llama.cpp's documentation and sources, where the build left them",
        HelpName = "PATH",
        Arity = ArgumentArity.OneOrMore,
    };

    private readonly Option<int> _tokens = OptionParsing.WholeNumber("--tokens", "Tokens to learn from", 100_000, 1000, int.MaxValue);

    private readonly Option<string?> _output = new("--output", "-o")
    {
        Description = $"Profile to write; default: beside the model, with the ending {ScoreProfile.Extension}",
        HelpName = "FILE",
    };

    private readonly Option<int> _seed = OptionParsing.WholeNumber(
        "--seed", "Which parts of the texts are taken; the same seed gives the same profile", 1, 0, int.MaxValue);

    private readonly Option<int> _threads = OptionParsing.WholeNumber("--threads", "Threads; 0: one for each physical core", 0, 0, 4096);

    private readonly Option<int> _gpuLayers = OptionParsing.WholeNumber("--gpu-layers", "Layers to put on the GPU; -1: all", 0, -1, int.MaxValue);

    public Command Create(Terminal terminal)
    {
        Command command = new(
            "calibrate", "Learn to score a model's rows while a document is read. Goes on where it was when it was interrupted.")
        {
            _model, _texts, _tokens, _output, _seed, _threads, _gpuLayers,
        };
        command.SetAction((parsed, ct) => RunAsync(parsed, terminal, ct));
        return command;
    }

    private async Task<int> RunAsync(ParseResult parsed, Terminal terminal, CancellationToken ct)
    {
        string path = ModelLoading.Find(parsed.GetValue(_model));
        string output = parsed.GetValue(_output) ?? ProfileLocator.DefaultPath(path);
        if (Directory.Exists(output))
        {
            throw new CommandException(ExitCode.Usage, $"--output {output} is a folder; name the file to write.");
        }

        CalibrationTexts texts = Texts(Paths(parsed));
        ProgressScreen screen = new(terminal);
        using EdgeModel model = await screen.StageAsync(
            "Loading the model", progress => ModelLoading.LoadAsync(path, parsed.GetValue(_gpuLayers), progress, ct));
        CalibrationOptions options = new()
        {
            Tokens = parsed.GetValue(_tokens),
            Seed = parsed.GetValue(_seed),
            Threads = parsed.GetValue(_threads),
            Checkpoint = output,
        };
        string title = string.Create(CultureInfo.InvariantCulture, $"Learning from {options.Tokens:N0} tokens");
        ScoreProfile profile;
        try
        {
            profile = await screen.StageAsync(
                title, progress => Calibrator.RunAsync(model, texts, options, new StageProgress(progress), ct));
        }
        catch (OperationCanceledException e)
        {
            throw new CommandException(ExitCode.Interrupted, "interrupted; the same command goes on from here.", e);
        }

        profile.Save(output);
        terminal.Out.WriteLine($"{output}: {profile.Provenance["tokens"]}.");
        terminal.Out.WriteLine($"R2 {profile.Provenance["r2"]}; overlap {profile.Provenance["overlap"]}.");
        foreach (string name in profile.Thresholds.Keys)
        {
            terminal.Out.WriteLine($"--quality {name}: {profile.Provenance["quality " + name]}.");
        }
        return (int)ExitCode.Success;
    }

    private string[] Paths(ParseResult parsed)
    {
        if (parsed.GetValue(_texts) is { Length: > 0 } given)
        {
            string? missing = given.FirstOrDefault(path => !File.Exists(path) && !Directory.Exists(path));
            return missing is null ? given : throw new CommandException(ExitCode.Document, $"--text {missing} does not exist; name a file or a folder.");
        }

        return CalibrationTexts.Installed is { } installed
            ? [installed]
            : throw new CommandException(ExitCode.Usage, "there are no texts beside this program to learn from; name files or folders with --text.");
    }

    private static CalibrationTexts Texts(string[] paths)
    {
        try
        {
            return CalibrationTexts.From(paths);
        }
        catch (ProfileException e)
        {
            throw new CommandException(ExitCode.Document, e.Message, e);
        }
    }

    private sealed class StageProgress(IProgress<double> share) : IProgress<CalibrationProgress>
    {
        public void Report(CalibrationProgress value) => share.Report(value.Share);
    }
}
