using System.Globalization;
using EdgeKV.App.Tests.Commands;
using EdgeKV.Cli;
using EdgeKV.Cli.Commands;
using EdgeKV.Measurements.Subjects;

namespace EdgeKV.App.Tests;

/// <summary>One table of exit codes for all commands: in the program, in every help text and in the documentation.</summary>
[Collection(EngineCollection.Name)]
public sealed class ExitCodesTests : IDisposable
{
    private static readonly string[] Names = ["ask", "info", "policies", "calibrate", "eval", "bench", "report"];

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> AllCommands => [.. Names.Prepend("")];

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Table_EveryCode_IsThereOnce() =>
        Assert.Equal(Enum.GetValues<ExitCode>().Order(), ExitCodes.Table.Select(row => row.Code));

    [Theory]
    [MemberData(nameof(AllCommands))]
    public async Task Help_EveryCommand_HasTheTable(string command)
    {
        (_, string text, _) = await RunAsync([.. command.Split(' ', StringSplitOptions.RemoveEmptyEntries), "--help"]);

        Assert.All(ExitCodes.Table, row => Assert.Contains(
            string.Create(CultureInfo.InvariantCulture, $"{(int)row.Code,3}  {row.Meaning}\n"), text, StringComparison.Ordinal));
    }

    [Fact]
    public void Guide_EveryCode_SaysTheSame()
    {
        string page = File.ReadAllText(Path.Combine(Places.Checkout, "docs", "guide", "exit-codes.md"));

        Assert.All(ExitCodes.Table, row => Assert.Contains(
            string.Create(CultureInfo.InvariantCulture, $"| {(int)row.Code} | {row.Meaning} |\n"), page, StringComparison.Ordinal));
    }

    [Theory]
    [MemberData(nameof(AllCommands))]
    public async Task Code_AnOptionThatIsNone_IsUsage(string command) =>
        Assert.Equal(2, (await RunAsync([.. command.Split(' ', StringSplitOptions.RemoveEmptyEntries), "--no-such-option"])).Code);

    [Theory]
    [InlineData("ask -d {text} -q Q? -m {none}")]
    [InlineData("info {none}")]
    [InlineData("calibrate {none}")]
    [InlineData("eval -m {none} -d {text} -o {new}")]
    [InlineData("bench -m {none}")]
    [InlineData("ask -d {text} -q Q? -m {gguf} --profile {none}")]
    [InlineData("ask -d {text} -q Q? -m {gguf} --score learned")]
    public async Task Code_NoModelOrProfile_IsModel(string line) => Assert.Equal(3, await CodeAsync(line));

    [Theory]
    [InlineData("ask -d {none} -q Q? -m {gguf}")]
    [InlineData("calibrate {gguf} -t {none}")]
    [InlineData("calibrate {gguf} -t {binary}")]
    [InlineData("eval -m {gguf} -d {none} -o {new}")]
    [InlineData("bench -m {gguf} -d {none}")]
    [InlineData("bench -m {gguf} --against {text}")]
    [InlineData("report {none}")]
    [InlineData("report {text}")]
    public async Task Code_NoDataOrDamagedData_IsData(string line) => Assert.Equal(4, await CodeAsync(line));

    [Theory]
    [InlineData("calibrate {gguf} -t {text} -o {text}/inside.edgekv")]
    [InlineData("calibrate {gguf} -t {text} -o {folder}")]
    [InlineData("eval -m {gguf} -d {text} -o {text}")]
    [InlineData("eval -m {gguf} -d {text} -o {text}/inside")]
    [InlineData("bench -m {gguf} --json {folder}/none/run.json")]
    [InlineData("report {run} -o {folder}/none/page.html")]
    [InlineData("report {run} -o {folder}")]
    public async Task Code_AnOutputThatCannotBeWritten_IsCannotWrite(string line) => Assert.Equal(6, await CodeAsync(line));

    [Theory]
    [MemberData(nameof(AllCommands))]
    public async Task Code_Cancelled_IsInterrupted(string command)
    {
        Assert.SkipWhen(command is "" or "policies" or "report", "Nothing in it takes time.");
        using CancellationTokenSource cancelled = new();
        await cancelled.CancelAsync();
        using TestTerminal terminal = new("text");
        EngineCollection.Require();
        string line = command switch
        {
            "ask" => "ask -d - -q Q? -m {tiny}",
            "info" => "info {tiny}",
            "calibrate" => "calibrate {tiny} -t {document} -o {folder}/tiny.edgekv",
            "eval" => "eval -m {tiny} -d {data} -o {new}",
            _ => "bench -m {tiny}",
        };

        Assert.Equal(130, await CommandLineApp.RunAsync(Words(line), terminal.Terminal, cancelled.Token));
    }

    [Theory]
    [InlineData("ask -d {long} -q Q? -m {tiny} --policy knorm")]
    [InlineData("ask -d {text} -q Q? -m {tiny} --policy knorm --context 100000000")]
    [InlineData("eval -m {tiny} -d {longdata} -o {new} --policies knorm")]
    [InlineData("bench -m {tiny} --depths 5000 --policy knorm")]
    public async Task Code_MoreThanTheWindow_IsDoesNotFit(string line)
    {
        EngineCollection.Require();
        Assert.Equal(5, await CodeAsync(line));
    }

    private async Task<int> CodeAsync(string line)
    {
        (int code, string text, string error) = await RunAsync(Words(line));
        Assert.Empty(text);
        Assert.Single(error.TrimEnd().Split('\n'));
        return code;
    }

    private string[] Words(string line) => [.. line.Split(' ').Select(word => word
        .Replace("{none}", Path.Combine(_folder.Path, "none"), StringComparison.Ordinal)
        .Replace("{new}", Path.Combine(_folder.Path, "new"), StringComparison.Ordinal)
        .Replace("{folder}", _folder.Path, StringComparison.Ordinal)
        .Replace("{tiny}", TinyModels.PathOf(TinyModel.LlamaGrouped), StringComparison.Ordinal)
        .Replace("{run}", Path.Combine(Places.Checkout, "tests", "EdgeKV.Evaluation.Tests", "Reports", "small-run"), StringComparison.Ordinal)
        .Replace("{document}", Places.Document, StringComparison.Ordinal)
        .Replace("{gguf}", _folder.File("any.gguf", "GGUF"u8), StringComparison.Ordinal)
        .Replace("{binary}", _folder.File("binary.txt", new byte[1000]), StringComparison.Ordinal)
        .Replace("{data}", _folder.File("data.jsonl", "{\"context\": \"a b c\", \"question\": \"?\", \"answers\": [\"a\"]}\n"u8), StringComparison.Ordinal)
        .Replace("{longdata}", Long("long.jsonl", "{\"question\": \"?\", \"answers\": [\"a\"], \"context\": \"", "\"}\n"), StringComparison.Ordinal)
        .Replace("{long}", Long("long.txt", "", ""), StringComparison.Ordinal)
        .Replace("{text}", _folder.File("text.txt", "The code of the tin chest is 48213.\n"u8), StringComparison.Ordinal))];

    private string Long(string name, string before, string after) => _folder.File(
        name, System.Text.Encoding.UTF8.GetBytes(before + string.Concat(Enumerable.Repeat("many words ", 60_000)) + after));

    private static async Task<(int Code, string Text, string Error)> RunAsync(params string[] args)
    {
        using TestTerminal terminal = new();
        int code = await CommandLineApp.RunAsync(args, terminal.Terminal, TestContext.Current.CancellationToken);
        return (code, terminal.OutText, terminal.ErrorText);
    }
}
