using EdgeKV.Cli.Commands;

namespace EdgeKV.App.Tests.Commands;

/// <summary>Wrong command lines: exit code 2 and one line that names the thing, what is wrong and what to do.</summary>
public class UsageTests
{
    private static readonly string[] Ask = ["ask", "--document", "-", "--question", "Q?"];

    [Theory]
    [InlineData("--ratio 1.5", "--ratio 1.5 must be a number from 0 to below 1, for example 0.8")]
    [InlineData("--ratio 1", "--ratio 1 must be")]
    [InlineData("--ratio -0.1", "--ratio -0.1 must be")]
    [InlineData("--ratio NaN", "--ratio NaN must be")]
    [InlineData("--ratio many", "--ratio many must be")]
    [InlineData("--rows 0", "--rows 0 must be a whole number from 1")]
    [InlineData("--rows 3.5", "--rows 3.5 must be a whole number")]
    [InlineData("--kv-memory lots", "--kv-memory lots is not a size; write for example 64MiB")]
    [InlineData("--kv-memory 64M", "--kv-memory 64M is not a size")]
    [InlineData("--ratio 0.5 --rows 100", "--ratio and --rows exclude each other")]
    [InlineData("--rows 100 --kv-memory 1MiB", "--rows and --kv-memory exclude each other")]
    [InlineData("--ratio 0.8 --kv-memory 1MiB", "--ratio and --kv-memory exclude each other")]
    [InlineData("--while-reading --compare", "--while-reading and --compare exclude each other")]
    [InlineData("--while-reading --merge", "--while-reading and --merge exclude each other")]
    [InlineData("--while-reading --rerotate --threshold -6", "--rerotate needs equally many rows in all heads")]
    [InlineData("--policy best", "--policy best is unknown; choose one of global, kvcompose, kvcompose-unstructured")]
    [InlineData("--policy learned", "--policy learned is unknown")]
    [InlineData("--policy snapkv:windw=3", "Policy snapkv has no option windw; it has ratio, rows, bytes, window, kernel")]
    [InlineData("--policy snapkv:window=0", "Policy snapkv: window=0: A window is 1 token and up")]
    [InlineData("--policy snapkv:window=x", "window=x: must be a whole number")]
    [InlineData("--policy snapkv:window", "window is no option; write NAME=VALUE")]
    [InlineData("--policy ada:scorer=pyramidkv", "pyramidkv does not score rows; global, kvcompose")]
    [InlineData("--policy threshold", "threshold needs a Limit")]
    [InlineData("--policy duo-attention:gates=none.tsv", "Policy duo-attention: gates=none.tsv: none.tsv: the gates cannot be read")]
    [InlineData("--policy snapkv:ratio=0.5 --rows 7", "--rows and --policy snapkv:ratio exclude each other")]
    [InlineData("--policy global:source=both --score repeat", "--score and --policy global:source exclude each other")]
    [InlineData("--policy global:recent=2 --recent 3", "--recent and --policy global:recent exclude each other")]
    [InlineData("--policy tova --score repeat", "--score is for --policy global; leave it out with tova")]
    [InlineData("--policy tova --task-set question", "--task-set is for the kvcompose policies; leave it out with tova")]
    [InlineData("--policy ada:scorer=tova --threshold -5", "--threshold is for --policy global")]
    [InlineData("--score best", "--score best is unknown; choose one of learned, probed, repeat, both, context, question, window")]
    [InlineData("--score learned --score repeat", "--score is given 2 times; give it once")]
    [InlineData("--json --json", "--json is given 2 times")]
    [InlineData("--threads 1000000", "--threads 1000000 must be a whole number from 0 to")]
    [InlineData("--threshold low", "--threshold low must be a number, for example -6.5")]
    [InlineData("--threshold NaN", "--threshold NaN must be")]
    [InlineData("--threshold -Infinity", "--threshold -Infinity must be")]
    [InlineData("--recent -1", "--recent -1 must be a whole number from 0")]
    [InlineData("--recent 1.5", "--recent 1.5 must be")]
    [InlineData("--threshold -5 --quality near", "--threshold and --quality exclude each other")]
    [InlineData("--policy kvcompose --score repeat", "--score is for --policy global; with kvcompose use --task-set")]
    [InlineData("--policy KVCompose-Unstructured --score learned", "--score is for --policy global; with KVCompose-Unstructured use --task-set")]
    [InlineData("--policy kvcompose --threshold -5", "--threshold is for --policy global; leave it out or take that policy")]
    [InlineData("--policy kvcompose --quality near", "--quality is for --policy global")]
    [InlineData("--policy kvcompose-unstructured --recent 0", "--recent is for --policy global")]
    [InlineData("--policy kvcompose --profile x.edgekv", "--profile is for --policy global")]
    [InlineData("--policy ada:scorer=snapkv --profile x.edgekv", "--profile is for --policy global")]
    [InlineData("--task-set question", "--task-set question is for the kvcompose policies; with --policy global use --score question")]
    [InlineData("--policy global --task-set Repeat", "--task-set Repeat is for the kvcompose policies")]
    [InlineData("--score learned --task-set tasks.txt", "which --score learned has no use for")]
    [InlineData("--score window --task-set tasks.txt", "which --score window has no use for")]
    [InlineData("--score repeat --quality near", "--quality is a threshold of learned scores; leave out --score repeat")]
    [InlineData("--score both --quality near", "--quality is a threshold of learned scores; leave out --score both")]
    [InlineData("--task-set tasks.txt --quality near", "leave out --task-set")]
    [InlineData("--score repeat --profile x.edgekv", "--profile is for learned scores; leave it out or give --score learned, probed or both")]
    [InlineData("--task-set tasks.txt --profile x.edgekv", "--profile is for learned scores")]
    [InlineData("--cache-type f64", "--cache-type f64 is unknown; choose one of f16, q8_0, q4_0")]
    [InlineData("--max-tokens 0", "--max-tokens 0 must be")]
    [InlineData("--threads -1", "--threads -1 must be")]
    [InlineData("--context 99999999999", "--context 99999999999 must be")]
    [InlineData("--gpu-layers -2", "--gpu-layers -2 must be")]
    [InlineData("--temperature 11", "--temperature 11 must be")]
    [InlineData("--top-p 1.1", "--top-p 1.1 must be")]
    [InlineData("--min-p -1", "--min-p -1 must be")]
    [InlineData("--seed x", "--seed x must be")]
    [InlineData("--ration 0.8", "there is no option --ration")]
    [InlineData("--ratio", "--ratio")]
    public async Task Ask_WrongOption_IsOneLineAndExitCodeTwo(string options, string expected)
    {
        string error = await FailsAsync([.. Ask, .. options.Split(' ')]);

        Assert.Contains(expected, error, StringComparison.Ordinal);
        Assert.Contains("see edgekv ask --help", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("ask --question Q?", "--document")]
    [InlineData("ask --document -", "--question")]
    [InlineData("ask --document - --question", "--question")]
    [InlineData("", "no command given")]
    [InlineData("answer", "answer")]
    [InlineData("info a b", "b")]
    [InlineData("info --memroy", "there is no option --memroy")]
    [InlineData("report --outptu", "there is no option --outptu")]
    [InlineData("report", "argument missing for command: report")]
    [InlineData("report run --output", "--output")]
    [InlineData("bench --depths 64 --depths 96", "--depths is given 2 times; give it once, with commas between its values")]
    [InlineData("bench --depths 64 --depths -1", "--depths is given 2 times")]
    [InlineData("bench --threads 1000000", "which are this machine's processors")]
    [InlineData("eval -d d.jsonl -o x --ratios 0.5 --ratios 0.8", "--ratios is given 2 times")]
    [InlineData("eval -d d.jsonl -o x --policies knorm -p tova", "--policies is given 2 times")]
    [InlineData("eval -d d.jsonl -o x --threads 1000000", "--threads 1000000 must be")]
    [InlineData("calibrate --for learned --for global", "--for is given 2 times; give it once, with commas between its values")]
    [InlineData("calibrate --threads 1000000", "--threads 1000000 must be")]
    [InlineData("ask a.gguf -m b.gguf -d - -q Q?", "MODEL a.gguf and --model b.gguf exclude each other")]
    [InlineData("info a.gguf -m b.gguf", "MODEL a.gguf and --model b.gguf exclude each other")]
    [InlineData("calibrate a.gguf -m b.gguf", "MODEL a.gguf and --model b.gguf exclude each other")]
    [InlineData("eval a.gguf -m b.gguf -d d.jsonl -o x", "MODEL a.gguf and --model b.gguf exclude each other")]
    [InlineData("bench a.gguf -m b.gguf", "MODEL a.gguf and --model b.gguf exclude each other")]
    [InlineData("info --memory 0", "--memory 0 is not a size")]
    public async Task CommandLine_SomethingMissingOrUnknown_IsNamed(string line, string expected)
    {
        string error = await FailsAsync(line.Split(' ', StringSplitOptions.RemoveEmptyEntries));

        Assert.Contains(expected, error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("info", "")]
    [InlineData("report", "")]
    [InlineData("report", "run", "-o", "")]
    [InlineData("calibrate", "-o", "")]
    [InlineData("bench", "--json", "out.json", "--against", "")]
    [InlineData("bench", "--json", "")]
    [InlineData("bench", "--document", "")]
    [InlineData("bench", "--model", "")]
    [InlineData("ask", "-q", "Q?", "--document", "")]
    [InlineData("ask", "-q", "Q?", "--document", "-", "--profile", "")]
    [InlineData("ask", "-q", "Q?", "--document", "-", "--policy", "kvcompose", "--task-set", "")]
    [InlineData("calibrate", "--text", "")]
    [InlineData("eval", "-d", "", "-o", "x")]
    [InlineData("eval", "--synthetic", "--haystack", "", "-o", "x")]
    [InlineData("eval", "-d", "d.jsonl", "-o", "")]
    public async Task CommandLine_AnEmptyName_IsRefused(params string[] args) =>
        Assert.Contains("is empty; give it a name", await FailsAsync(args), StringComparison.Ordinal);

    [Fact]
    public async Task Ask_EmptyQuestion_IsRefused() =>
        Assert.Contains("--question is empty", await FailsAsync(["ask", "--document", "-", "--question", " "]), StringComparison.Ordinal);

    [Fact]
    public async Task Ask_QuestionThatNobodySees_IsRefused() =>
        Assert.Contains("--question is empty", await FailsAsync(["ask", "--document", "-", "--question", "\u200B\u00A0\uFEFF"]), StringComparison.Ordinal);

    [Fact]
    public async Task Ask_EmptyQuestionAmongOthers_IsRefused() =>
        Assert.Contains("--question is empty", await FailsAsync([.. Ask, "--question", ""]), StringComparison.Ordinal);

    [Theory]
    [InlineData("--help", "ask", "info", "policies", "calibrate", "eval", "bench", "report")]
    [InlineData("eval --help", "--dataset", "--synthetic", "--policies", "--ratios", "--rows", "--samples", "--out", "--resume")]
    [InlineData("policies --help", "--json")]
    [InlineData("ask --help", "--document <FILE|->", "--ratio", "--kv-memory", "--threshold", "--quality", "--recent", "--policy", "--score", "--profile", "--task-set", "--cache-type", "q4_0", "--compare", "--while-reading", "--rerotate", "--merge", "--json", "Examples")]
    [InlineData("info --help", "--memory")]
    [InlineData("report --help", "DIR", "--output", "report.html")]
    [InlineData("calibrate --help", "--text", "--tokens", "--output", "--seed", "--threads", "--gpu-layers")]
    public async Task Help_Any_ListsWhatThereIs(string line, params string[] expected)
    {
        using TestTerminal terminal = new();

        int code = await CommandLineApp.RunAsync(line.Split(' '), terminal.Terminal, TestContext.Current.CancellationToken);

        Assert.Equal(0, code);
        Assert.All(expected, text => Assert.Contains(text, terminal.OutText, StringComparison.Ordinal));
        Assert.Empty(terminal.ErrorText);
    }

    [Theory]
    [InlineData("ask -d - -q Q?")]
    [InlineData("info")]
    [InlineData("calibrate")]
    [InlineData("eval -d d.jsonl -o x")]
    [InlineData("bench")]
    public async Task Model_BothWays_AreTheSame(string line)
    {
        foreach (string model in (string[])["none.gguf", "-m none.gguf", "none.gguf --model none.gguf"])
        {
            using TestTerminal terminal = new("text");

            int code = await CommandLineApp.RunAsync($"{line} {model}".Split(' '), terminal.Terminal, TestContext.Current.CancellationToken);

            Assert.Contains("The model, none.gguf, cannot be read: it does not exist.", terminal.ErrorText, StringComparison.Ordinal);
            Assert.Equal(3, code);
        }
    }

    private static async Task<string> FailsAsync(string[] args)
    {
        using TestTerminal terminal = new();

        int code = await CommandLineApp.RunAsync(args, terminal.Terminal, TestContext.Current.CancellationToken);

        Assert.Equal(2, code);
        Assert.Empty(terminal.OutText);
        Assert.StartsWith("edgekv: ", terminal.ErrorText, StringComparison.Ordinal);
        Assert.Single(terminal.ErrorText.TrimEnd().Split('\n'));
        return terminal.ErrorText;
    }
}
