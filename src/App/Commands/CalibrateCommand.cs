using System.CommandLine;
using System.Globalization;
using EdgeKV.Calibration;
using EdgeKV.Cli.Asking;
using EdgeKV.Cli.Outputs;
using EdgeKV.Cli.Rendering;
using EdgeKV.Cli.Terminals;
using EdgeKV.Evaluation;
using EdgeKV.Files;
using EdgeKV.Models;
using EdgeKV.Profiles;

namespace EdgeKV.Cli.Commands;

/// <summary><c>edgekv calibrate MODEL</c>: learns what lets the model's rows be scored while a document is read.</summary>
internal sealed class CalibrateCommand
{
    private readonly ModelOption _model = new();

    private readonly Option<string[]> _texts = new("--text", "-t")
    {
        Description = $"Files and folders to learn from; {Arguments.Repeatable}; default: llama.cpp's documentation and sources, where the build left them",
        HelpName = "PATH",
        Arity = ArgumentArity.OneOrMore,
    };

    private readonly Option<int> _tokens = OptionParsing.WholeNumber("--tokens", "Tokens to learn from", 100_000, 1000, int.MaxValue);

    private readonly Option<string[]> _for = new("--for")
    {
        Description = $"Tables to find for policies that need one, with commas between them: {string.Join(", ", Calibrator.Tables)}; "
            + $"{Calibrator.Learned}: the map itself; all: everything. They join the profile that is there; default: {string.Join(", ", Calibrator.Default)}, tables about the model stay",
        HelpName = "NAME,...",
        AllowMultipleArgumentsPerToken = false,
    };

    private readonly Option<string?> _output = new("--output", "-o")
    {
        Description = $"Profile to write; default: beside the model, with the ending {ScoreProfile.Extension}",
        HelpName = "FILE",
    };

    private readonly Option<bool> _force = OptionParsing.Force("--output");

    private readonly Option<int> _seed = OptionParsing.WholeNumber(
        "--seed", "Which parts of the texts are taken; the same seed gives the same profile", 1, 0, int.MaxValue);

    private readonly Option<int> _threads = OptionParsing.Threads();

    private readonly GpuOptions _gpu = new();

    public Command Create(Terminal terminal)
    {
        Command command = new(
            "calibrate", "Learn to score a model's rows while a document is read. Goes on where it was when it was interrupted.")
        {
            _for, _texts, _tokens, _output, _force, _seed, _threads,
        };
        _gpu.AddTo(command);
        _model.AddTo(command);
        command.SetAction((parsed, ct) => RunAsync(parsed, terminal, ct));
        return command;
    }

    private async Task<int> RunAsync(ParseResult parsed, Terminal terminal, CancellationToken ct)
    {
        string[] names = Names(parsed.GetValue(_for) ?? []);
        string path = _model.Find(parsed);
        string output = parsed.GetValue(_output) ?? ProfileLocator.DefaultPath(path);

        // What this command goes on from, and its lock, lie beside the profile.
        OutputFile.MakeFolder(output);
        new Output(output, OutputKind.Profile, _output.Name) { Force = parsed.GetValue(_force) }.Ensure(
            [("the model", path), .. (parsed.GetValue(_texts) ?? []).Select(text => ($"{_texts.Name} {text}", (string?)text))]);

        // From before the profile is read until it is written: else two that find tables at once would each drop the other's.
        using IDisposable alone = Alone(output);

        // The default makes a whole new profile; all else joins one, which must then be readable and this model's.
        bool joins = names.Except(Calibrator.Default).Any() || !names.Contains(Calibrator.Learned);
        ScoreProfile? profile = Existing(parsed.GetValue(_output) is null ? ProfileLocator.Find(path) : output, joins);
        string[] paths = Paths(parsed);
        CalibrationTexts texts = await InputFile.WaitAsync(() => CalibrationTexts.From(paths), ct);
        ProgressScreen screen = new(terminal);
        ModelOptions loading = _gpu.Bind(parsed, new ModelOptions().FitContextSize, KvCacheType.F16);
        using EdgeModel model = await screen.StageAsync(
            "Loading the model", progress => ModelLoading.LoadAsync(path, loading, progress, ct));
        if (ModelLoading.Chosen(model, loading) is { } chosen)
        {
            terminal.Say(chosen);
        }

        CalibrationOptions options = new()
        {
            Tokens = parsed.GetValue(_tokens),
            Seed = parsed.GetValue(_seed),
            Threads = parsed.GetValue(_threads),
            Checkpoint = output,
        };

        // Another model's tables are not for this one; who adds to them is told.
        profile = joins || profile?.Model == model.Fingerprint ? profile : null;
        bool learns = profile is null || names.Contains(Calibrator.Learned);
        string title = string.Join("; ", ((string?[])
        [
            joins ? $"Calibrating for {string.Join(", ", names.Where(name => name != Calibrator.Learned))}" : null,
            learns ? string.Create(CultureInfo.InvariantCulture, $"Learning from {options.Tokens:N0} tokens") : null,
        ]).Where(part => part is not null));
        ScoreProfile made;
        try
        {
            made = await screen.StageAsync(
                title, progress => Calibrator.RunAsync(model, texts, names, profile, options, new StageProgress(progress), ct));
        }
        catch (OperationCanceledException e)
        {
            throw new CommandException(ExitCode.Interrupted, "interrupted; the same command goes on from here.", e);
        }

        made.Save(output);
        if (learns)
        {
            terminal.Out.WriteLine($"{output}: {made.Provenance["tokens"]}.");
            terminal.Out.WriteLine($"R2 {made.Provenance["r2"]}; overlap {made.Provenance["overlap"]}.");
            foreach (string name in made.Thresholds.Keys)
            {
                terminal.Out.WriteLine($"--quality {name}: {made.Provenance["quality " + name]}.");
            }
        }

        foreach (string gone in profile?.Tables.Keys.Except(made.Tables.Keys) ?? [])
        {
            terminal.Out.WriteLine($"{output}: the table {gone} was about the map before and is gone; --for {gone} makes one for this map.");
        }

        foreach (string name in names.Where(name => name != Calibrator.Learned))
        {
            terminal.Out.WriteLine($"{output}, table {name}:");
            foreach ((string key, string value) in made.Tables[name].Provenance.Where(entry => !entry.Key.StartsWith("layer ", StringComparison.Ordinal)))
            {
                terminal.Out.WriteLine($"  {key}: {value}");
            }
        }

        return (int)ExitCode.Success;
    }

    /// <summary>What is to be calibrated; what the default policy needs where nothing is said.</summary>
    private static string[] Names(string[] given)
    {
        const string All = "all";
        string[] names = [.. given.SelectMany(list => list.Split(',', StringSplitOptions.TrimEntries)).Select(name => name.ToLowerInvariant()).Distinct()];
        string[] known = [Calibrator.Learned, .. Calibrator.Tables];
        if (names.FirstOrDefault(name => name != All && !known.Contains(name)) is { } unknown)
        {
            throw new CommandException(ExitCode.Usage, $"--for {unknown} is unknown; choose from {string.Join(", ", known)}, {All}.");
        }

        return names.Length == 0 ? [.. Calibrator.Default] : names.Contains(All) ? known : names;
    }

    /// <summary>Keeps other processes from the profile and its checkpoints.</summary>
    private static IDisposable Alone(string output) => FileLock.Take(OutputFile.Companion(output, ".lock"))
        ?? throw new OutputException($"{output} is being calibrated by another process; wait for it, or name another file with --output.");

    /// <summary>The profile that tables join. One that cannot be read is no reason not to learn another map, but nothing can join it.</summary>
    private static ScoreProfile? Existing(string? file, bool required)
    {
        try
        {
            return file is not null && File.Exists(file) ? ScoreProfile.Load(file) : null;
        }
        catch (ProfileException) when (!required)
        {
            return null;
        }
    }

    private string[] Paths(ParseResult parsed)
    {
        if (parsed.GetValue(_texts) is { Length: > 0 } given)
        {
            string? missing = given.FirstOrDefault(path => !File.Exists(path) && !Directory.Exists(path));
            return missing is null ? given : throw new CommandException(ExitCode.Data, $"--text {missing} does not exist; name a file or a folder.");
        }

        return CalibrationTexts.Installed is { } installed
            ? [installed]
            : throw new CommandException(ExitCode.Data, "there are no texts beside this program to learn from; name files or folders with --text.");
    }

    private sealed class StageProgress(IProgress<double> share) : IProgress<CalibrationProgress>
    {
        public void Report(CalibrationProgress value) => share.Report(value.Share);
    }
}
