using System.CommandLine;
using System.Globalization;
using System.Security.Cryptography;
using EdgeKV.Cli.Asking;
using EdgeKV.Cli.Outputs;
using EdgeKV.Cli.Rendering;
using EdgeKV.Cli.Terminals;
using EdgeKV.Evaluation;
using EdgeKV.Files;
using EdgeKV.Models;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Configuration;
using EdgeKV.Profiles;

namespace EdgeKV.Cli.Commands;

/// <summary><c>edgekv eval</c>: accuracy of policies at every budget on data sets, appended cell by cell to a folder.</summary>
internal sealed class EvalCommand
{
    private static readonly double[] AllRatios = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

    private readonly ModelOption _model = new();

    private readonly Option<string[]> _datasets = new("--dataset", "-d")
    {
        Description = $"Data: RULER's, LongBench's or SQuAD's files, needle-in-a-haystack folders, lines of {{context, question, answers}}; {Arguments.Repeatable}",
        HelpName = "DIR|FILE",
        Arity = ArgumentArity.OneOrMore,
    };

    private readonly Option<bool> _synthetic = new("--synthetic")
    {
        Description = "Make RULER's needles, variable tracking, common and frequent words, in place of --dataset or beside it",
    };

    private readonly Option<IReadOnlyList<int>> _lengths = new("--lengths")
    {
        Description = "Tokens of --synthetic samples, answers included",
        HelpName = "N,...",
        DefaultValueFactory = _ => [2048],
        CustomParser = EvalParsing.Lengths,
    };

    private readonly Option<string[]> _tasks = new("--tasks")
    {
        Description = $"Tasks of --synthetic, with commas between them: {string.Join(", ", SyntheticOptions.AllTasks)}; default: all",
        HelpName = "TASK,...",
        CustomParser = EvalParsing.Tasks,
    };

    private readonly Option<string?> _haystack = new("--haystack")
    {
        Description = "Text that --synthetic needles are hidden in; default: one that comes with the program",
        HelpName = "FILE",
    };

    private readonly Option<IReadOnlyList<PolicyOptions>> _policies = new("--policies", "-p")
    {
        Description = $"Policies with commas between them, with options as in snapkv:window=32,kernel=7; '{CommandLineApp.Name} policies' tells them",
        HelpName = "NAME[:KEY=VALUE,...],...",
        DefaultValueFactory = _ => [PolicyOptions.Parse(PolicyRegistry.Default)],
        CustomParser = EvalParsing.Policies,
    };

    private readonly Option<IReadOnlyList<EvalBudget>> _ratios = EvalParsing.Budgets(
        "--ratios", "Shares of the KV cache to remove", [.. AllRatios.Select(EvalBudget.OfRatio)], "0,0.5,0.8,0.9", EvalParsing.Ratio);

    private readonly Option<IReadOnlyList<EvalBudget>> _rows = EvalParsing.Budgets(
        "--rows", "Instead of --ratios: rows to keep per layer and KV head, on average", [], "256,512", EvalParsing.Rows);

    private readonly Option<int> _samples = OptionParsing.WholeNumber("--samples", "The most samples of a task", 20, 1, int.MaxValue);

    private readonly Option<int> _seed = OptionParsing.WholeNumber("--seed", "Which samples are drawn, and what is generated", 1, 0, int.MaxValue);

    private readonly Option<string> _output = new("--out", "-o")
    {
        Description = "Folder for run.json, results.jsonl and the report",
        HelpName = "DIR",
        Required = true,
    };

    private readonly Option<bool> _resume = new("--resume") { Description = "Go on with the run that is in --out" };

    private readonly Option<bool> _queryAware = new("--query-aware")
    {
        Description = "Compress the question with the context, so that policies see it",
    };

    private readonly Option<bool> _merge = new("--merge")
    {
        Description = "Take the values of removed rows into the kept rows whose keys are most like theirs",
    };

    private readonly Option<bool> _skipLong = new("--skip-long")
    {
        Description = "Leave samples out that are longer than the model's window; else they are an error",
    };

    private readonly Option<string> _cacheType = OptionParsing.Choice(
        "--cache-type", "TYPE", "Type of the cache's numbers: f16, q8_0, q4_0", "f16", ["f16", "q8_0", "q4_0"]);

    private readonly Option<int> _threads = OptionParsing.Threads();

    // Tokens that a context has room for where the number of GPU layers is to be found: samples are read after the model.
    private const int UnknownLength = 8192;
    private const int AnswerRoom = 512;

    private readonly GpuOptions _gpu = new();

    public Command Create(Terminal terminal)
    {
        Command command = new("eval", "Measure what policies leave of a model's right answers. Goes on where it was with --resume.")
        {
            _datasets, _synthetic, _lengths, _tasks, _haystack, _policies, _ratios, _rows, _samples, _seed, _output, _resume, _queryAware, _merge, _skipLong, _cacheType, _threads,
        };
        _gpu.AddTo(command);
        _model.AddTo(command);
        command.Validators.Add(result =>
        {
            if (result.GetResult(_rows) is { Implicit: false } && result.GetResult(_ratios) is { Implicit: false })
            {
                result.AddError("--ratios and --rows exclude each other; give one of them.");
            }

            bool synthetic = result.GetValue(_synthetic);
            if (!synthetic && result.GetResult(_datasets) is null or { Implicit: true })
            {
                result.AddError("there is no data; name it with --dataset, or take --synthetic.");
            }

            if (!synthetic && ((Option[])[_lengths, _tasks, _haystack]).FirstOrDefault(option => result.GetResult(option) is { Implicit: false }) is { } stray)
            {
                result.AddError($"{stray.Name} is for --synthetic; give that too, or leave it out.");
            }
        });
        command.SetAction((parsed, ct) => RunAsync(parsed, terminal, ct));
        return command;
    }

    private async Task<int> RunAsync(ParseResult parsed, Terminal terminal, CancellationToken ct)
    {
        string[] datasets = parsed.GetValue(_datasets) ?? [];
        IReadOnlyList<EvalBudget> rows = parsed.GetRequiredValue(_rows);
        EvalOptions options = new()
        {
            Policies = parsed.GetRequiredValue(_policies),
            Budgets = rows.Count > 0 ? rows : parsed.GetRequiredValue(_ratios),
            CacheType = parsed.GetValue(_cacheType) switch
            {
                "q8_0" => KvCacheType.Q8_0,
                "q4_0" => KvCacheType.Q4_0,
                _ => KvCacheType.F16,
            },
            Threads = parsed.GetValue(_threads),
            QueryAware = parsed.GetValue(_queryAware),
            Merge = parsed.GetValue(_merge),
        };
        string path = _model.Find(parsed);

        // Cheap checks first: nobody wants to wait for a model to hear of a mistyped path.
        string? missing = datasets.FirstOrDefault(dataset => !File.Exists(dataset) && !Directory.Exists(dataset));
        if (missing is not null)
        {
            throw new CommandException(ExitCode.Data, $"--dataset {missing}: there is no such file or folder; check the path.");
        }

        if (parsed.GetValue(_haystack) is { } haystack)
        {
            EnsureHaystack(haystack);
        }

        string output = parsed.GetRequiredValue(_output);
        EnsureOutputs(output, parsed.GetValue(_resume), [("the model", path), ("the model's profile", ProfileLocator.Find(path)), (_haystack.Name, parsed.GetValue(_haystack)), .. datasets.Select(data => (_datasets.Name, (string?)data))]);
        ReportWriter.EnsureCharts();
        ProgressScreen screen = new(terminal);
        ModelOptions loading = _gpu.Bind(parsed, parsed.GetValue(_synthetic) ? parsed.GetRequiredValue(_lengths).Max() + AnswerRoom : UnknownLength, options.CacheType);
        using EdgeModel model = await screen.StageAsync(
            "Loading the model", progress => ModelLoading.LoadAsync(path, loading, progress, ct));
        if (ModelLoading.Chosen(model, loading) is { } chosen)
        {
            terminal.Say(chosen);
        }

        SyntheticOptions? synthetic = Synthetic(parsed);
        CheckLengths(synthetic, model);
        (IReadOnlyList<EvalSample> samples, string dataHash) = await EvalData.ReadAsync(datasets, synthetic, model, parsed.GetValue(_samples), parsed.GetValue(_seed), ct);
        CheckPolicies(options, model, path, samples);
        samples = Fitting(model, samples, parsed.GetValue(_skipLong), terminal);
        EvalCheck.EnsureRunnable(model, options, samples);
        using (RunFolder folder = RunFolder.Open(
            output, await ManifestAsync(parsed, options, model, Names(datasets, synthetic), dataHash, ct), parsed.GetValue(_resume)))
        {
            EvalRun run = new(model, options, folder);
            try
            {
                await screen.StageAsync(
                    string.Create(CultureInfo.InvariantCulture, $"Answering {samples.Count:N0} samples"),
                    async progress =>
                    {
                        await run.RunAsync(samples, new Share(progress), ct);
                        return true;
                    });
            }
            catch (OperationCanceledException e)
            {
                throw new CommandException(ExitCode.Interrupted, $"interrupted; the same command with --resume goes on from here.", e);
            }
            catch
            {
                folder.Abandon();
                throw;
            }

            WriteCost(terminal, run.Cost);
        }

        WrittenReport report = ReportWriter.Write(output);
        RunTables.Write(terminal.OutConsole(), report.Statistics);
        terminal.Out.WriteLine($"{report.Path}, and its tables as CSV beside it.");
        return ReportTables.Failure(report.Statistics) is { } failure ? throw new CommandException(ExitCode.DoesNotFit, failure) : (int)ExitCode.Success;
    }

    private void EnsureOutputs(string folder, bool resume, (string Name, string? Path)[] inputs)
    {
        if (inputs.FirstOrDefault(input => input.Path is not null && OutputFile.LiesIn(folder, input.Path)) is { Path: { } data })
        {
            throw new CommandException(ExitCode.CannotWrite, $"{folder} lies in {data}, where the run's own files would be read as data; name another folder with {_output.Name}.");
        }

        RunFolder.EnsureUsable(folder, resume);
        OutputFile.EnsureFolder(folder);
        foreach (string file in RunFolder.FilesOf(folder))
        {
            if (inputs.FirstOrDefault(input => input.Path is not null && (OutputFile.AreSame(file, input.Path) || Output.IsReadWith(file, input.Path))) is { Name: { } same, Path: { } read })
            {
                throw new CommandException(ExitCode.CannotWrite, $"{file} is also {(Directory.Exists(read) ? $"a file in {read}" : same)}, which would be lost; name another folder with {_output.Name}.");
            }
        }

        // A folder that is not there yet has nothing to lose.
        foreach (string file in Directory.Exists(folder) ? ReportWriter.FilesOf(folder) : [])
        {
            new Output(file, OutputKind.Report, _output.Name) { Remedy = "move it away" }.Ensure(inputs);
        }
    }

    private void EnsureHaystack(string path)
    {
        try
        {
            _ = SyntheticData.ReadHaystack(path);
        }
        catch (DatasetException e)
        {
            throw new CommandException(ExitCode.Data, $"{_haystack.Name} {e.Message}", e);
        }
    }

    private SyntheticOptions? Synthetic(ParseResult parsed) => !parsed.GetValue(_synthetic) ? null : new SyntheticOptions
    {
        Lengths = parsed.GetRequiredValue(_lengths),
        Tasks = parsed.GetValue(_tasks) is { Length: > 0 } tasks ? tasks : SyntheticOptions.AllTasks,
        Samples = parsed.GetValue(_samples),
        Seed = parsed.GetValue(_seed),
        HaystackPath = parsed.GetValue(_haystack),
    };

    // Before samples are made that long.
    private void CheckLengths(SyntheticOptions? synthetic, EdgeModel model)
    {
        if (synthetic?.Lengths.Max() is { } longest && longest > model.Window)
        {
            throw new CommandException(
                ExitCode.DoesNotFit,
                string.Create(CultureInfo.InvariantCulture, $"{_lengths.Name} {longest} is longer than the model's window of {model.Window:N0}; give at most {model.Window}."));
        }
    }

    private static void CheckPolicies(EvalOptions options, EdgeModel model, string path, IReadOnlyList<EvalSample> samples)
    {
        foreach (PolicyOptions policy in options.Policies)
        {
            try
            {
                PolicySpec spec = EvalRun.SpecOf(policy, [samples[0].Question]);
                PolicyNeeds needs = PolicyResolver.NeedsOf(spec);
                if (model.Profile is null && needs.Any)
                {
                    throw new CommandException(
                        ExitCode.Model,
                        $"--policies {policy} needs a profile, and there is none for this model; make one with `{Hints.Calibrate(path, needs.Tables is [var table, ..] ? table : null)}`, or take {GlobalRanking.PolicyName}:source=repeat.");
                }

                PolicyResolver.Resolve(spec, () => model.Profile, ContextRoom.Ample);
            }
            catch (ArgumentException e)
            {
                throw new CommandException(ExitCode.Usage, $"--policies {policy}: {e.Message.Split(" (Parameter '")[0]}", e);
            }
        }
    }

    private static List<EvalSample> Fitting(EdgeModel model, IReadOnlyList<EvalSample> samples, bool skip, Terminal terminal)
    {
        List<EvalSample> fitting = [];
        foreach (EvalSample sample in samples)
        {
            long positions = EvalRun.PositionsOf(model, sample);
            if (positions <= model.Window)
            {
                fitting.Add(sample);
            }
            else if (!skip)
            {
                int context = model.TokenizeDocument(sample.Context).Length;
                throw new CommandException(
                    ExitCode.DoesNotFit,
                    string.Create(CultureInfo.InvariantCulture, $"{sample.Source}: context ({context:N0}), question and answer ({positions - context:N0}) take {positions:N0} tokens; the model's window holds {model.Window:N0}. Take shorter samples, or leave such ones out with --skip-long."));
            }
        }

        if (fitting.Count < samples.Count)
        {
            terminal.Say($"{samples.Count - fitting.Count} of {samples.Count} samples are longer than the model's window and left out.");
        }

        return fitting.Count > 0 ? fitting : throw new CommandException(ExitCode.DoesNotFit, "no sample fits the model's window; take shorter ones.");
    }

    private async Task<RunManifest> ManifestAsync(
        ParseResult parsed, EvalOptions options, EdgeModel model, IReadOnlyList<string> datasets, string dataHash, CancellationToken ct)
    {
        return new RunManifest
        {
            Version = RunManifest.CurrentVersion,
            EdgeKV = Versions.EdgeKV,
            LlamaCpp = Versions.LlamaCpp,
            Model = Path.GetFileName(model.Path),
            ModelDescription = model.Description,
            ModelSha256 = await HashAsync(model.Path, ct),
            Layers = model.Geometry.Layers.Count,
            KvHeads = model.Geometry.KvHeads.Most,
            KvHeadsByLayer = model.Geometry.KvHeads.IsUniform ? null : [.. model.Geometry.Layers.Select(layer => layer.KvHeads)],
            ProfileSha256 = model.Profile?.Path is { } profile ? await HashAsync(profile, ct) : null,
            DataSha256 = dataHash,
            CacheType = parsed.GetRequiredValue(_cacheType),
            Threads = options.Threads,
            Datasets = datasets,
            Policies = [.. options.Policies.Select(policy => policy.ToString())],
            Ratios = [.. options.Budgets.Select(budget => budget.Ratio).OfType<double>()],
            Rows = [.. options.Budgets.Select(budget => budget.Rows).OfType<int>()],
            Samples = parsed.GetValue(_samples),
            Seed = parsed.GetValue(_seed),
            QueryAware = options.QueryAware,
            Merge = options.Merge,
            Command = Hints.Command(parsed.Tokens.Select(token => token.Value).Prepend(CommandLineApp.Name)),
            Machine = Machine.Here.ToString(),
            Started = DateTimeOffset.UtcNow,
        };
    }

    // What a run goes on with must be the same.
    private static string[] Names(string[] paths, SyntheticOptions? synthetic) => synthetic is null ? paths :
    [
        .. paths,
        string.Create(CultureInfo.InvariantCulture, $"synthetic: {string.Join(' ', synthetic.Tasks)} of {string.Join(' ', synthetic.Lengths)} tokens{(synthetic.HaystackPath is { } haystack ? $" in {haystack}" : "")}"),
    ];

    private static async Task<string> HashAsync(string path, CancellationToken ct)
    {
        await using FileStream stream = File.OpenRead(path);
        return Convert.ToHexStringLower(await SHA256.HashDataAsync(stream, ct));
    }

    private static void WriteCost(Terminal terminal, EvalCost cost)
    {
        if (cost.Answer > TimeSpan.Zero)
        {
            terminal.Out.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{cost.Total.TotalSeconds:N0} s: reading {cost.Prefill.TotalSeconds:N0}, scoring {cost.Score.TotalSeconds:N0}, planning {cost.Plan.TotalSeconds:N1}, applying {cost.Apply.TotalSeconds:N0}, bringing caches back {cost.Restore.TotalSeconds:N0}, answering {cost.Answer.TotalSeconds:N0}. At least needed, reading and answering: {cost.Least.TotalSeconds:N0} s; {cost.Total / cost.Least:0.00} times that."));
        }
    }

    private sealed class Share(IProgress<double> share) : IProgress<EvalProgress>
    {
        public void Report(EvalProgress value) => share.Report(value.Share);
    }
}
