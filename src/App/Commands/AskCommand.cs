using System.CommandLine;
using EdgeKV.Cli.Asking;
using EdgeKV.Cli.Rendering;
using EdgeKV.Planning;
using EdgeKV.Policies;

namespace EdgeKV.Cli.Commands;

/// <summary><c>edgekv ask</c>: read a document, compress its KV cache, answer questions from what is left.</summary>
internal sealed class AskCommand
{
    private const double DefaultRatio = 0.8;

    private readonly Option<string?> _model = new("--model", "-m")
    {
        Description = $"GGUF file; default: {ModelLocator.Variable}, then models/*.gguf of the checkout, then the user's data folder",
        HelpName = "FILE",
    };

    private readonly Option<string?> _profile = new("--profile")
    {
        Description = $"Learned scores of the model, for --policy {GlobalTopK.LearnedName} and {GlobalTopK.BothName}",
        HelpName = "FILE",
    };

    private readonly Option<string> _document = new("--document", "-d")
    {
        Description = "Text to read, UTF-8; - is standard input",
        HelpName = "FILE|-",
        Required = true,
    };

    private readonly Option<string[]> _questions = new("--question", "-q")
    {
        Description = "What to ask; may be given several times, each question is asked on its own",
        HelpName = "TEXT",
        Required = true,
        Arity = ArgumentArity.OneOrMore,
    };

    private readonly Option<double> _ratio = OptionParsing.Number(
        "--ratio", "Share of the KV cache to remove, 0 to below 1", DefaultRatio, 0, 1, maxAllowed: false, example: "0.8");

    private readonly Option<int?> _rows = OptionParsing.Count(
        "--rows", "Instead of --ratio: rows to keep per layer and KV head, on average");

    private readonly Option<long?> _kvMemory = OptionParsing.Size(
        "--kv-memory", "Instead of --ratio: bytes that the compressed cache may take, room for later tokens included");

    private readonly Option<string> _policy = OptionParsing.Choice(
        "--policy",
        "NAME",
        $"Who decides what stays: {string.Join(", ", PolicyRegistry.Entries.Select(entry => entry.Name))}",
        PolicyRegistry.Default,
        [.. PolicyRegistry.Entries.Select(entry => entry.Name)]);

    private readonly Option<string?> _taskSet = new("--task-set")
    {
        Description = "Whose attention decides: context (it is read again), repeat (it is said again), question, window (the document's last tokens), "
            + "or a FILE with a text a line; default: the policy's own",
        HelpName = "SET",
    };

    private readonly Option<string> _cacheType = OptionParsing.Choice(
        "--cache-type", "TYPE", "Type of the cache's numbers: f16, q8_0, q4_0", "f16", ["f16", "q8_0", "q4_0"]);

    private readonly Option<int> _context = OptionParsing.WholeNumber(
        "--context", "Tokens that the full cache has room for; 0: as many as this run needs", 0, 0, int.MaxValue);

    private readonly Option<int> _threads = OptionParsing.WholeNumber(
        "--threads", "Threads; 0: one for each physical core", 0, 0, 4096);

    private readonly Option<int> _gpuLayers = OptionParsing.WholeNumber(
        "--gpu-layers", "Layers to put on the GPU; -1: all", 0, -1, int.MaxValue);

    private readonly Option<int> _maxTokens = OptionParsing.WholeNumber(
        "--max-tokens", "Tokens that an answer may have", 64, 1, int.MaxValue);

    private readonly Option<double> _temperature = OptionParsing.Number(
        "--temperature", "0: always the likeliest token; higher: more variety", 0, 0, 10, maxAllowed: true, example: "0.7");

    private readonly Option<int> _topK = OptionParsing.WholeNumber(
        "--top-k", "Draw among the K likeliest tokens; 0: all", 40, 0, int.MaxValue);

    private readonly Option<double> _topP = OptionParsing.Number(
        "--top-p", "Draw among the likeliest tokens that together have this probability", 0.95, 0, 1, maxAllowed: true, example: "0.95");

    private readonly Option<double> _minP = OptionParsing.Number(
        "--min-p", "Leave out tokens below this share of the likeliest one's probability", 0.05, 0, 1, maxAllowed: true, example: "0.05");

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

    private readonly Option<bool> _json = new("--json")
    {
        Description = "One JSON object on standard output, everything else on standard error",
    };

    public Command Create(Terminal terminal)
    {
        Command command = new("ask", "Read a document, remove most of its KV cache, and answer questions from what is left.")
        {
            _document, _questions, _model,
            _ratio, _rows, _kvMemory, _policy, _taskSet, _profile,
            _compare, _whileReading, _json,
            _maxTokens, _temperature, _topK, _topP, _minP, _seed,
            _cacheType, _context, _threads, _gpuLayers,
        };
        command.Validators.Add(result =>
        {
            Option[] budgets = [_ratio, _rows, _kvMemory];
            string[] given = [.. budgets.Where(option => result.GetResult(option) is { Implicit: false }).Select(option => option.Name)];
            if (given.Length > 1)
            {
                result.AddError($"{string.Join(" and ", given)} exclude each other; give one of them.");
            }
        });
        command.Validators.Add(result =>
        {
            if (result.GetResult(_questions) is { Tokens: var questions } && questions.Any(question => string.IsNullOrWhiteSpace(question.Value)))
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
        command.SetAction((parsed, ct) => RunAsync(parsed, terminal, ct));
        return command;
    }

    private AskRequest Bind(ParseResult parsed)
    {
        Budget budget = parsed.GetValue(_rows) is { } rows ? Budget.FromRows(rows)
            : parsed.GetValue(_kvMemory) is { } bytes ? Budget.FromBytes(bytes)
            : Budget.FromRatio(parsed.GetValue(_ratio));
        return new AskRequest(
            parsed.GetValue(_model),
            parsed.GetValue(_profile),
            parsed.GetRequiredValue(_document),
            parsed.GetRequiredValue(_questions),
            budget,
            parsed.GetRequiredValue(_policy),
            parsed.GetValue(_taskSet),
            parsed.GetValue(_cacheType) switch
            {
                "q8_0" => KvCacheType.Q8_0,
                "q4_0" => KvCacheType.Q4_0,
                _ => KvCacheType.F16,
            },
            parsed.GetValue(_context),
            parsed.GetValue(_threads),
            parsed.GetValue(_gpuLayers),
            new SamplingRequest(
                (float)parsed.GetValue(_temperature),
                parsed.GetValue(_topK),
                (float)parsed.GetValue(_topP),
                (float)parsed.GetValue(_minP),
                (uint)parsed.GetValue(_seed)),
            parsed.GetValue(_maxTokens),
            parsed.GetValue(_compare),
            parsed.GetValue(_whileReading),
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
