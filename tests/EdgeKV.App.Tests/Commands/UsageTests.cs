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
    [InlineData("--policy best", "--policy best is unknown; choose one of kvcompose")]
    [InlineData("--cache-type f64", "--cache-type f64 is unknown; choose one of f16, q8_0, q4_0")]
    [InlineData("--max-tokens 0", "--max-tokens 0 must be")]
    [InlineData("--threads -1", "--threads -1 must be")]
    [InlineData("--context 99999999999", "--context 99999999999 must be")]
    [InlineData("--gpu-layers -2", "--gpu-layers -2 must be")]
    [InlineData("--temperature 11", "--temperature 11 must be")]
    [InlineData("--top-p 1.1", "--top-p 1.1 must be")]
    [InlineData("--min-p -1", "--min-p -1 must be")]
    [InlineData("--seed x", "--seed x must be")]
    [InlineData("--ration 0.8", "--ration")]
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
    [InlineData("info --memory 0", "--memory 0 is not a size")]
    public async Task CommandLine_SomethingMissingOrUnknown_IsNamed(string line, string expected)
    {
        string error = await FailsAsync(line.Split(' ', StringSplitOptions.RemoveEmptyEntries));

        Assert.Contains(expected, error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Ask_EmptyQuestion_IsRefused() =>
        Assert.Contains("--question is empty", await FailsAsync(["ask", "--document", "-", "--question", " "]), StringComparison.Ordinal);

    [Fact]
    public async Task Ask_EmptyQuestionAmongOthers_IsRefused() =>
        Assert.Contains("--question is empty", await FailsAsync([.. Ask, "--question", ""]), StringComparison.Ordinal);

    [Theory]
    [InlineData("--help", "ask", "info")]
    [InlineData("ask --help", "--document <FILE|->", "--ratio", "--kv-memory", "--task-set", "--cache-type", "q4_0", "--compare", "--while-reading", "--json", "Examples")]
    [InlineData("info --help", "--memory")]
    public async Task Help_Any_ListsWhatThereIs(string line, params string[] expected)
    {
        using TestTerminal terminal = new();

        int code = await CommandLineApp.RunAsync(line.Split(' '), terminal.Terminal, TestContext.Current.CancellationToken);

        Assert.Equal(0, code);
        Assert.All(expected, text => Assert.Contains(text, terminal.OutText, StringComparison.Ordinal));
        Assert.Empty(terminal.ErrorText);
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
