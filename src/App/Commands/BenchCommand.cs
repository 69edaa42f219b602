using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Runtime.ExceptionServices;
using System.Security.Cryptography;
using System.Text;
using EdgeKV.Cli.Asking;
using EdgeKV.Cli.Documents;
using EdgeKV.Cli.Outputs;
using EdgeKV.Cli.Rendering;
using EdgeKV.Cli.Terminals;
using EdgeKV.Compression;
using EdgeKV.Evaluation;
using EdgeKV.Files;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Configuration;
using EdgeKV.Profiles;
using EdgeKV.Scoring;

namespace EdgeKV.Cli.Commands;

/// <summary><c>edgekv bench</c>: what compression costs and brings on this machine, beside the full cache in the same run.</summary>
internal sealed class BenchCommand
{
    /// <summary>The command, as people type it.</summary>
    public const string Name = "bench";

    private const string StandardOutput = "-";

    // Task sets that ask need a question; what it says does not matter here.
    private const string Question = "What is said here?";

    private static readonly Dictionary<string, KvCacheType> CacheTypes = new(StringComparer.OrdinalIgnoreCase)
    {
        ["f16"] = KvCacheType.F16,
        ["q8_0"] = KvCacheType.Q8_0,
        ["q4_0"] = KvCacheType.Q4_0,
    };

    private readonly ModelOption _model = new();

    private readonly Option<int[]> _depths = OptionParsing.WholeNumbers("--depths", "Tokens of the context", [1000, 4000], 1, int.MaxValue);

    private readonly Option<double[]> _ratios = OptionParsing.Numbers("--ratios", "Shares of the KV cache to remove", [0.5, 0.8, 0.9], 0, 1);

    private readonly Option<KvCacheType[]> _cacheTypes = OptionParsing.Choices(
        "--cache-types", "TYPE,...", "Types of the cache's numbers: f16, q8_0, q4_0", [KvCacheType.F16, KvCacheType.Q8_0], CacheTypes);

    private readonly Option<PolicyOptions> _policy = OptionParsing.Policy(
        "--policy", $"Who decides what stays; '{CommandLineApp.Name} policies' tells them and their options", PolicyRegistry.Default);

    private readonly Option<int> _prefills = OptionParsing.WholeNumber(
        "--prefills", "Times that everything up to the first token is measured", 3, 1, 1000);

    private readonly Option<int> _passes = OptionParsing.WholeNumber(
        "--passes", "Of these, times that a repeat pass is measured too, which takes longer than a prefill; 0: never", 1, 0, 1000);

    private readonly Option<int> _repeats = OptionParsing.WholeNumber("--repeats", "Rounds of decoding, in which every cache has a turn", 15, 1, 100_000);

    private readonly Option<int> _warmUp = OptionParsing.WholeNumber("--warm-up", "Rounds before these, which are not counted", 1, 0, 100_000);

    private readonly Option<int> _decode = OptionParsing.WholeNumber("--decode", "Tokens decoded in a turn", 16, 1, BenchOptions.MostDecode);

    private readonly Option<int> _threads = OptionParsing.Threads();

    private readonly Option<string?> _document = new("--document", "-d")
    {
        Description = "Text to read, UTF-8; default: sentences that are the same on every machine",
        HelpName = "FILE|-",
    };

    private readonly Option<string?> _json = new("--json")
    {
        Description = "Write everything as one JSON object; - is standard output, everything else then goes to standard error",
        HelpName = "FILE|-",
    };

    private readonly Option<bool> _force = OptionParsing.Force("--json");

    private readonly Option<string?> _against = new("--against")
    {
        Description = "An earlier run's --json: say what has changed by more than the spread",
        HelpName = "FILE",
    };

    public Command Create(Terminal terminal)
    {
        Command command = new(Name, "Time prefill, scoring, compression and decoding, beside the full cache in the same run.")
        {
            _depths, _ratios, _cacheTypes, _policy, _prefills, _passes, _repeats, _warmUp, _decode, _threads, _document, _json, _force, _against,
        };
        _model.AddTo(command);
        command.Validators.Add(CheckPolicy);
        command.SetAction((parsed, ct) => RunAsync(parsed, terminal, ct));
        return command;
    }

    // What can be said in two ways must not be said in both.
    private void CheckPolicy(CommandResult result)
    {
        if (result.GetResult(_policy) is { Errors: var errors } && !errors.Any()
            && result.GetValue(_policy) is { } policy
            && OptionParsing.Budgets.FirstOrDefault(policy.Has) is { } option)
        {
            result.AddError($"--ratios and --policy {policy.Policy}:{option} exclude each other; leave the latter out.");
        }
    }

    private async Task<int> RunAsync(ParseResult parsed, Terminal terminal, CancellationToken ct)
    {
        BenchOptions options = Bind(parsed);
        string? json = parsed.GetValue(_json);

        // Cheap checks first: nobody wants to wait ten minutes to hear of a file that cannot be written.
        BenchReport? earlier = parsed.GetValue(_against) is { } against ? await InputFile.WaitAsync(() => Earlier(against), ct) : null;
        string path = _model.Find(parsed);
        if (json is not null and not StandardOutput)
        {
            new Output(json, OutputKind.Bench, _json.Name) { Force = parsed.GetValue(_force), MayPass = true }.Ensure(
                ("the model", path), ("the model's profile", ProfileLocator.Find(path)), (_document.Name, parsed.GetValue(_document)), (_against.Name, parsed.GetValue(_against)));
        }

        Document? document = parsed.GetValue(_document) is { } source
            ? await new DocumentReader("document", "--document").ReadAsync(source, terminal.Input, ct)
            : null;

        ProgressScreen screen = new(terminal);
        using EdgeModel model = await screen.StageAsync("Loading the model", progress => ModelLoading.LoadAsync(path, progress, ct));
        CheckWindow(options, model);
        ICompressionPolicy policy = PolicyOf(parsed.GetRequiredValue(_policy), model, options.Depths.Max(), terminal);
        CheckPolicy(options, model, policy);
        BenchText text = document is null ? BenchText.Generate(model, options.TextTokens) : BenchText.Of(model, document.Name, document.Text);
        CheckLength(options, text);

        (BenchReport report, Exception? failure) = await MeasureAsync(model, policy, text, options, screen, ct);
        Write(report, json, earlier, parsed.GetValue(_against), terminal);
        foreach (BenchFailure missing in report.Failures)
        {
            terminal.Error.WriteLine($"{CommandLineApp.Name}: {NameOf(missing.Depth, missing.CacheType)} was not measured: {missing.Reason}");
        }

        return failure is null
            ? (int)ExitCode.Success
            : throw new CommandException(
                Failures.Describe(failure).Code, $"{report.Failures.Count} of {options.Depths.Count * options.CacheTypes.Count} series failed; what was measured is kept.", failure);
    }

    private BenchOptions Bind(ParseResult parsed) => new()
    {
        Depths = parsed.GetRequiredValue(_depths),
        Ratios = parsed.GetRequiredValue(_ratios),
        CacheTypes = parsed.GetRequiredValue(_cacheTypes),
        Policy = parsed.GetRequiredValue(_policy).ToString(),
        Prefills = parsed.GetValue(_prefills),
        Passes = Math.Min(parsed.GetValue(_passes), parsed.GetValue(_prefills)),
        Repeats = parsed.GetValue(_repeats),
        WarmUp = parsed.GetValue(_warmUp),
        Decode = parsed.GetValue(_decode),
        Threads = parsed.GetValue(_threads),
    };

    private static BenchReport Earlier(string path)
    {
        try
        {
            return BenchJson.Read(path);
        }
        catch (EdgeKVException e)
        {
            throw new CommandException(ExitCode.Data, $"--against {e.Message.TrimEnd('.')}; name a file that --json wrote.", e);
        }
    }

    private static ICompressionPolicy PolicyOf(PolicyOptions options, EdgeModel model, int depth, Terminal terminal)
    {
        PolicySpec spec = new(options) { Questions = [Question] };
        PolicyNeeds needs = PolicyResolver.NeedsOf(spec);
        if (model.Profile is null && needs.Any)
        {
            throw new CommandException(
                ExitCode.Model,
                $"--policy {options} needs a profile, and there is none for this model; make one with `{Hints.Calibrate(model.Path, needs.Tables is [var table, ..] ? table : null)}`.");
        }

        PolicyResolution resolved = PolicyResolver.Resolve(spec, () => model.Profile, new ContextRoom(depth, model.Window, model.ProbeTokens));
        if (resolved.Note is { } note)
        {
            terminal.Say($"{note}{(resolved.LacksProfile ? $"; `{Hints.Calibrate(model.Path)}` makes one" : "")}.");
        }

        return resolved.Policy;
    }

    // Before a text is made that long.
    private void CheckWindow(BenchOptions options, EdgeModel model)
    {
        int deepest = options.Depths.Max();
        int turn = options.TextTokens - deepest;
        int most = model.Window - turn;
        if (deepest > most)
        {
            throw new CommandException(
                ExitCode.DoesNotFit,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"{_depths.Name} {deepest} is too deep: the model's window of {model.Window:N0} also holds the {turn:N0} tokens of a turn; give at most {most}."));
        }
    }

    private void CheckLength(BenchOptions options, BenchText text)
    {
        if (text.Tokens.Length < options.TextTokens)
        {
            throw new CommandException(
                ExitCode.Data,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"document {text.Name} is {text.Tokens.Length:N0} tokens long, and {_depths.Name} {options.Depths.Max()} needs {options.TextTokens:N0}; give a longer one, or smaller depths."));
        }
    }

    private static void CheckPolicy(BenchOptions options, EdgeModel model, ICompressionPolicy policy)
    {
        foreach (int depth in options.Depths)
        {
            foreach (KvCacheType type in options.CacheTypes)
            {
                foreach (double ratio in options.Ratios)
                {
                    model.EnsureCompressible(type, policy.WithBudget(Budget.FromRatio(ratio)), depth, model.Window);
                }
            }
        }
    }

    // What was measured before a failure is worth as much as without it, and so is what can be measured after it.
    private static async Task<(BenchReport Report, Exception? Failure)> MeasureAsync(
        EdgeModel model, ICompressionPolicy policy, BenchText text, BenchOptions options, ProgressScreen screen, CancellationToken ct)
    {
        DateTimeOffset started = DateTimeOffset.UtcNow;
        double? load = Machine.Load;
        string hash = await Sha256Async(model.Path, ct);
        string? profileHash = model.Profile?.Path is { } profile ? await Sha256Async(profile, ct) : null;
        Bench bench = new(model, text, policy, options);
        List<BenchSeries> series = [];
        List<BenchFailure> failures = [];
        Exception? failure = null;
        foreach ((int depth, KvCacheType type) in options.Depths.SelectMany(depth => options.CacheTypes.Select(type => (depth, type))))
        {
            try
            {
                series.Add(await screen.StageAsync(NameOf(depth, type), progress => bench.MeasureAsync(depth, type, progress, ct)));
            }
            catch (Exception e) when (e is EdgeKVException or OutOfMemoryException or OperationCanceledException)
            {
                failure ??= e;
                failures.Add(new BenchFailure(depth, type, Failures.Describe(e).Message));
                if (e is OperationCanceledException)
                {
                    break;
                }
            }
        }

        if (series.Count == 0)
        {
            ExceptionDispatchInfo.Throw(failure!);
        }

        BenchReport report = new()
        {
            Version = BenchReport.CurrentVersion,
            EdgeKV = Versions.EdgeKV,
            LlamaCpp = Versions.LlamaCpp,
            Machine = Machine.Here,
            Load = load,
            Model = new BenchModel(Path.GetFileName(model.Path), model.Description, hash, model.Bytes, model.Layers, model.Geometry.KvHeads.Most),
            ProfileSha256 = profileHash,
            Text = text.Name,
            TextSha256 = text.Sha256,
            Options = options,
            Scores = policy.Request.Name,
            Started = started,
            Ended = DateTimeOffset.UtcNow,
            Series = series,
            Failures = failures,
        };
        return (report, failure);
    }

    private static string NameOf(int depth, KvCacheType type) => string.Create(CultureInfo.InvariantCulture, $"{depth:N0} tokens, {type.ToString().ToLowerInvariant()}");

    private static async Task<string> Sha256Async(string path, CancellationToken ct)
    {
        await using FileStream file = File.OpenRead(path);
        return Convert.ToHexStringLower(await SHA256.HashDataAsync(file, ct));
    }

    private static void Write(BenchReport report, string? json, BenchReport? earlier, string? against, Terminal terminal)
    {
        if (json == StandardOutput)
        {
            terminal.Out.WriteLine(BenchJson.Write(report));
            terminal.Out.Flush();
        }

        Spectre.Console.IAnsiConsole console = json == StandardOutput ? terminal.ErrorConsole() : terminal.OutConsole();
        BenchTable.Write(console, report);
        if (earlier is not null)
        {
            BenchTable.Write(console, BenchComparison.Of(earlier, report), against!);
        }

        if (json is not null and not StandardOutput)
        {
            OutputFile.Write(json, file => file.Write(Encoding.UTF8.GetBytes(BenchJson.Write(report) + "\n")));
        }
    }
}
