using System.CommandLine;
using System.CommandLine.Parsing;
using EdgeKV.Cli.Asking;
using EdgeKV.Cli.Rendering;
using EdgeKV.Cli.Terminals;
using EdgeKV.Files;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Configuration;
using EdgeKV.Policies.Scorers;
using EdgeKV.Profiles;

namespace EdgeKV.Cli.Commands;

/// <summary><c>edgekv ask</c>: read a document, compress its KV cache, answer questions from what is left.</summary>
internal sealed class AskCommand
{
    private readonly ModelOption _model = new();

    private readonly Option<string> _document = new("--document", "-d")
    {
        Description = "Text to read, UTF-8; - is standard input",
        HelpName = "FILE|-",
        Required = true,
    };

    private readonly Option<string[]> _questions = new("--question", "-q")
    {
        Description = $"What to ask; {Arguments.Repeatable}, each question is asked on its own",
        HelpName = "TEXT",
        Required = true,
        Arity = ArgumentArity.OneOrMore,
    };

    private readonly Option<double?> _ratio = OptionParsing.Share(
        "--ratio", "Share of the KV cache to remove, 0 to below 1; without any budget what the policy's own options say, 0.8 for most", example: "0.8");

    private readonly Option<int?> _rows = OptionParsing.Count(
        "--rows", "Instead of --ratio: rows to keep per layer and KV head, on average");

    private readonly Option<long?> _kvMemory = OptionParsing.Size(
        "--kv-memory", "Instead of --ratio: bytes that the compressed cache may take, room for later tokens included");

    private readonly Option<PolicyOptions> _policy = OptionParsing.Policy(
        "--policy",
        $"Who decides what stays: {string.Join(", ", PolicyRegistry.Entries.Select(entry => entry.Name))}; "
            + $"{GlobalRanking.PolicyName} is one ranking over the whole model; '{CommandLineApp.Name} policies' tells them and their options, such as snapkv:window=32",
        PolicyRegistry.Default);

    private readonly Option<string?> _score = OptionParsing.Choice(
        "--score",
        "SCORE",
        $"What {GlobalRanking.PolicyName} ranks rows by: learned (predicted while reading, needs a profile), probed (learned, corrected by what a general question looks at), repeat (the attention of a pass in which the document is said again), "
            + "both, or the attention of question, context (read again) or window (the document's last tokens); default: probed or learned, as the profile of the model allows, else repeat",
        ScoreNames.All);

    private readonly Option<string?> _profile = new("--profile")
    {
        Description = "Learned scores of the model; default: the file of the model's name that ends in "
            + $"{ScoreProfile.Extension}, beside it, in models/ of the checkout, or in the user's data folder",
        HelpName = "FILE",
    };

    private readonly Option<double?> _threshold = OptionParsing.Real(
        "--threshold",
        $"{GlobalRanking.PolicyName} keeps what scores at least X, a natural logarithm of attention, so that the ratio follows the document; a budget that is given caps it",
        "-6.5");

    private readonly Option<string?> _quality = new("--quality")
    {
        Description = "The --threshold that the profile has under this name",
        HelpName = "NAME",
    };

    private readonly Option<int?> _recent = OptionParsing.Count(
        "--recent", $"{GlobalRanking.PolicyName} keeps the last N tokens in all heads; default: {new LearnedScorer().Recent} by learned, probed and both scores, else 0", least: 0);

    private readonly Option<string?> _taskSet = new("--task-set")
    {
        Description = $"Whose attention decides for the kvcompose policies: {string.Join(", ", ScoreNames.TaskSets)}, or a FILE with a text a line, "
            + $"which {GlobalRanking.PolicyName} takes too in place of the repeated document; default: context",
        HelpName = "SET",
    };

    private readonly Option<string> _cacheType = OptionParsing.Choice(
        "--cache-type", "TYPE", "Type of the cache's numbers: f16, q8_0, q4_0", "f16", ["f16", "q8_0", "q4_0"]);

    private readonly Option<int> _context = OptionParsing.WholeNumber(
        "--context", "Tokens that the full cache has room for; 0: as many as this run needs", 0, 0, int.MaxValue);

    private readonly Option<int> _threads = OptionParsing.Threads();

    private readonly GpuOptions _gpu = new();

    private readonly Option<int> _maxTokens = OptionParsing.WholeNumber(
        "--max-tokens", "Tokens that an answer may have", 64, 1, int.MaxValue);

    private readonly Option<double> _temperature = OptionParsing.Number(
        "--temperature", "0: always the likeliest token; higher: more variety", 0, 0, 10, example: "0.7");

    private readonly Option<int> _topK = OptionParsing.WholeNumber(
        "--top-k", "Draw among the K likeliest tokens; 0: all", 40, 0, int.MaxValue);

    private readonly Option<double> _topP = OptionParsing.Number(
        "--top-p", "Draw among the likeliest tokens that together have this probability", 0.95, 0.001, 1, example: "0.95");

    private readonly Option<double> _minP = OptionParsing.Number(
        "--min-p", "Leave out tokens below this share of the likeliest one's probability", 0.05, 0, 1, example: "0.05");

    private readonly Option<int> _seed = OptionParsing.WholeNumber(
        "--seed", "Seed of the draws; matters from --temperature above 0", 0, 0, int.MaxValue);

    private readonly Option<bool> _compare = new("--compare")
    {
        Description = "Answer from the full cache too, first, and measure its speed",
    };

    private readonly Option<bool> _whileReading = new("--while-reading")
    {
        Description = "Remove while the document is read, by learned scores: the full cache is never there, and --context does not bound the document",
    };

    private readonly Option<bool> _rerotate = new("--rerotate")
    {
        Description = "Close the kept rows' positions up, keys turned to their new places; needs equally many rows in all heads, which --while-reading then keeps: "
            + "the document may be longer than the model's window",
    };

    private readonly Option<bool> _merge = new("--merge")
    {
        Description = "Take the values of removed rows into the kept rows whose keys are most like theirs",
    };

    private readonly Option<bool> _json = new("--json")
    {
        Description = "One JSON object on standard output, everything else on standard error",
    };

    public Command Create(Terminal terminal)
    {
        Command command = new("ask", "Read a document, remove most of its KV cache, and answer questions from what is left.")
        {
            _document, _questions,
            _ratio, _rows, _kvMemory, _threshold, _quality, _recent,
            _policy, _score, _profile, _taskSet,
            _compare, _whileReading, _rerotate, _merge, _json,
            _maxTokens, _temperature, _topK, _topP, _minP, _seed,
            _cacheType, _context, _threads,
        };
        _gpu.AddTo(command);
        _model.AddTo(command);
        command.Validators.Add(result =>
        {
            Option[] budgets = [_ratio, _rows, _kvMemory];
            string[] given = [.. budgets.Where(option => IsGiven(result, option)).Select(option => option.Name)];
            if (given.Length > 1)
            {
                result.AddError($"{string.Join(" and ", given)} exclude each other; give one of them.");
            }
        });
        command.Validators.Add(CheckPolicyOptions);
        command.Validators.Add(CheckScores);
        command.Validators.Add(result =>
        {
            if (result.GetResult(_questions) is { Tokens: var questions } && questions.Any(question => PlainText.IsBlank(question.Value)))
            {
                result.AddError("--question is empty; ask something.");
            }
        });
        command.Validators.Add(result =>
        {
            if (result.GetValue(_whileReading) && result.GetValue(_compare))
            {
                result.AddError("--while-reading and --compare exclude each other; while reading there is no full cache to compare with.");
            }
        });
        command.Validators.Add(result =>
        {
            if (result.GetValue(_whileReading) && result.GetValue(_merge))
            {
                result.AddError("--while-reading and --merge exclude each other; rows are merged when the whole document has been read.");
            }
            else if (result.GetValue(_whileReading) && result.GetValue(_rerotate) && (IsGiven(result, _threshold) || IsGiven(result, _quality)))
            {
                result.AddError("--rerotate needs equally many rows in all heads, which a threshold does not keep; give --ratio, --rows or --kv-memory.");
            }
        });
        command.SetAction((parsed, ct) => RunAsync(parsed, terminal, ct));
        return command;
    }

    private static bool IsGiven(SymbolResult result, Option option) => result.GetResult(option) is { Implicit: false };

    // As it was typed: values that are wrong have no value, and have been reported.
    private static string? Typed(SymbolResult result, Option option) => result.GetResult(option) is { Tokens: [var token, ..] } ? token.Value : null;

    private static PolicyOptions? Read(string typed)
    {
        try
        {
            return PolicyOptions.Parse(typed);
        }
        catch (ArgumentException)
        {
            return null;
        }
    }

    // Wrong options have been reported.
    private static bool ReadsProfile(string typed)
    {
        try
        {
            return PolicyResolver.NeedsOf(new PolicySpec(PolicyOptions.Parse(typed)) { Questions = [typed] }).Any;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }

    private static bool Is(string? typed, params IEnumerable<string> words) => words.Contains(typed, StringComparer.OrdinalIgnoreCase);

    // What can be said in two ways must not be said in both.
    private void CheckPolicyOptions(CommandResult result)
    {
        if (Typed(result, _policy) is not { } typed || Read(typed) is not { } policy)
        {
            return;
        }

        (Option Option, IReadOnlyList<string> Names)[] twice =
        [
            (_ratio, OptionParsing.Budgets), (_rows, OptionParsing.Budgets), (_kvMemory, OptionParsing.Budgets),
            (_score, ["source", "task-set"]), (_taskSet, ["task-set"]), (_threshold, ["threshold"]), (_quality, ["threshold"]),
            (_recent, ["recent"]),
        ];
        foreach ((Option option, IReadOnlyList<string> names) in twice)
        {
            if (IsGiven(result, option) && names.FirstOrDefault(policy.Has) is { } name)
            {
                result.AddError($"{option.Name} and --policy {policy.Policy}:{name} exclude each other; give one of them.");
                return;
            }
        }
    }

    private void CheckScores(CommandResult result)
    {
        const string Global = $"--policy {GlobalRanking.PolicyName}";
        string? score = Typed(result, _score);
        string? taskSet = Typed(result, _taskSet);
        string? policy = Typed(result, _policy)?.Split(':')[0];
        if (policy is not null && !Is(policy, GlobalRanking.PolicyName) && PolicyRegistry.Entries.Any(entry => Is(policy, entry.Name)))
        {
            bool takesTasks = Is(policy, KVCompose.StructuredName, KVCompose.UnstructuredName);
            if (score is not null)
            {
                result.AddError($"--score is for {Global}; {(takesTasks ? $"with {policy} use --task-set" : $"leave it out with {policy}")}.");
            }
            else if (taskSet is not null && !takesTasks)
            {
                result.AddError($"--task-set is for the kvcompose policies; leave it out with {policy}.");
            }
            else if (((Option[])[_threshold, _quality, _recent, _profile]).FirstOrDefault(option => IsGiven(result, option)) is { } other
                && !(other == _profile && ReadsProfile(Typed(result, _policy)!)))
            {
                result.AddError($"{other.Name} is for {Global}; leave it out or take that policy.");
            }
        }
        else if (Is(taskSet, ScoreNames.TaskSets))
        {
            result.AddError($"--task-set {taskSet} is for the kvcompose policies; with {Global} use --score {taskSet}.");
        }
        else if (taskSet is not null && score is not null && !Is(score, ScoreNames.Repeat, ScoreNames.Both))
        {
            result.AddError($"--task-set FILE takes the place of the repeated document, which --score {score} has no use for; give one of them.");
        }
        else if (IsGiven(result, _threshold) && IsGiven(result, _quality))
        {
            result.AddError("--threshold and --quality exclude each other; give one of them.");
        }
        else if (taskSet is not null || score is not null)
        {
            bool learned = Is(score, ScoreNames.Learned);
            if (IsGiven(result, _quality) && !learned)
            {
                result.AddError($"--quality is a threshold of learned scores; leave out {(score is null ? "--task-set" : $"--score {score}")} or give --threshold.");
            }
            else if (IsGiven(result, _profile) && !Is(score, ScoreNames.Learned, ScoreNames.Probed, ScoreNames.Both))
            {
                result.AddError($"--profile is for learned scores; leave it out or give --score {ScoreNames.Learned}, {ScoreNames.Probed} or {ScoreNames.Both}.");
            }
        }
    }

    private AskRequest Bind(ParseResult parsed)
    {
        PolicyOptions policy = parsed.GetRequiredValue(_policy);
        Budget? budget = parsed.GetValue(_rows) is { } rows ? Budget.FromRows(rows)
            : parsed.GetValue(_kvMemory) is { } bytes ? Budget.FromBytes(bytes)
            : parsed.GetValue(_ratio) is { } ratio ? Budget.FromRatio(ratio)
            : null;
        KvCacheType cacheType = parsed.GetValue(_cacheType) switch
        {
            "q8_0" => KvCacheType.Q8_0,
            "q4_0" => KvCacheType.Q4_0,
            _ => KvCacheType.F16,
        };
        return new AskRequest(
            _model.Given(parsed),
            parsed.GetValue(_profile),
            parsed.GetRequiredValue(_document),
            parsed.GetRequiredValue(_questions),
            budget,
            policy,
            parsed.GetValue(_score),
            parsed.GetValue(_taskSet),
            parsed.GetValue(_threshold),
            parsed.GetValue(_quality),
            parsed.GetValue(_recent),
            cacheType,
            parsed.GetValue(_context),
            parsed.GetValue(_threads),
            _gpu.Bind(parsed, contextSize: 1, cacheType),
            new SamplingRequest(
                (float)parsed.GetValue(_temperature),
                parsed.GetValue(_topK),
                (float)parsed.GetValue(_topP),
                (float)parsed.GetValue(_minP),
                (uint)parsed.GetValue(_seed)),
            parsed.GetValue(_maxTokens),
            parsed.GetValue(_compare),
            parsed.GetValue(_whileReading),
            parsed.GetValue(_rerotate),
            parsed.GetValue(_merge),
            parsed.GetValue(_json));
    }

    private async Task<int> RunAsync(ParseResult parsed, Terminal terminal, CancellationToken ct)
    {
        AskRequest request = Bind(parsed);
        AskScreen screen = new(terminal, request.Json);
        AskReport report = await new AskRun(request, screen, terminal.Input).RunAsync(ct);
        if (request.Json)
        {
            JsonOutput.Write(terminal.Out, report);
        }
        else
        {
            AskTable.Write(terminal.OutConsole(), report);
        }

        return (int)ExitCode.Success;
    }
}
