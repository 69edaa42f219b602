using System.Diagnostics;
using EdgeKV.App.Tests.Outputs;
using EdgeKV.Cli.Commands;
using EdgeKV.Measurements.Subjects;

namespace EdgeKV.App.Tests.Commands;

/// <summary>Inputs that are no files or that never end.</summary>
[Collection(EngineCollection.Name)]
public sealed class EndlessInputTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public EndlessInputTests()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Devices and pipes with a name are Linux's.");
        EngineCollection.Require();
    }

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(4, "ask -q Q? -m {tiny} -d /dev/zero", "document /dev/zero cannot be read (it is a device, not a file); check the path given to --document")]
    [InlineData(4, "ask -q Q? -m {tiny} -d /dev/urandom", "it is a device, not a file")]
    [InlineData(4, "ask -q Q? -m {tiny} -d {text} --policy kvcompose --task-set /dev/zero", "task set /dev/zero cannot be read (it is a device, not a file)")]
    [InlineData(4, "bench -m {tiny} -d /dev/urandom", "it is a device, not a file")]
    [InlineData(4, "bench -m {tiny} --against /dev/zero", "--against /dev/zero cannot be read: it is a device, not a file")]
    [InlineData(4, "bench -m {tiny} --against {folder}", "it is a folder, not a file")]
    [InlineData(4, "eval -m {tiny} --policies knorm -o {folder}/new -d /dev/urandom", "/dev/urandom: this file cannot be read (it is a device, not a file)")]
    [InlineData(4, "eval -m {tiny} --policies knorm -o {folder}/new --synthetic --haystack /dev/zero", "--haystack /dev/zero: this file cannot be read (it is a device, not a file)")]
    [InlineData(4, "eval -m {tiny} --policies knorm -o {folder}/new --synthetic --haystack {pipe}", "it is a pipe, not a file")]
    [InlineData(4, "calibrate {tiny} -o {folder}/new.edgekv -t /dev/zero", "The text /dev/zero cannot be read: it is a device, not a file")]
    [InlineData(3, "ask -q Q? -d {text} -m /dev/zero", "The model, /dev/zero, cannot be read: it is a device, not a file")]
    [InlineData(3, "info {pipe}", "cannot be read: it is a pipe, not a file")]
    [InlineData(3, "info {folder}", "cannot be read: it is a folder, not a file")]
    [InlineData(3, "ask -q Q? -d {text} -m {tiny} --profile {pipe}", "cannot be read: it is a pipe, not a file")]
    [InlineData(3, "ask -q Q? -d {text} -m {tiny} --profile /dev/zero", "The profile /dev/zero cannot be read: it is a device, not a file. Make one with")]
    [InlineData(4, "report {run}", "run.json cannot be read: it is a pipe, not a file")]
    public async Task Input_ThatIsNoFile_IsRefusedAtOnce(int expected, string line, string message)
    {
        (int code, string text, string error) = await RunAsync(await WordsAsync(line), TestContext.Current.CancellationToken);

        Assert.Contains(message, error, StringComparison.Ordinal);
        Assert.Equal(expected, code);
        Assert.Empty(text);
    }

    [Theory]
    [InlineData("ask -q Q? -m {tiny} -d {pipe}")]
    [InlineData("ask -q Q? -m {tiny} -d {text} --policy kvcompose --task-set {pipe}")]
    [InlineData("bench -m {tiny} -d {pipe}")]
    [InlineData("bench -m {tiny} --against {pipe}")]
    [InlineData("eval -m {tiny} --policies knorm -o {folder}/new -d {pipe}")]
    [InlineData("calibrate {tiny} -o {folder}/new.edgekv -t {pipe}")]
    public async Task Input_APipeThatNobodyWritesTo_EndsWhenItIsInterrupted(string line)
    {
        using CancellationTokenSource interruption = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        Task<(int Code, string Text, string Error)> running = RunAsync(await WordsAsync(line), interruption.Token);

        // Opening a pipe to write waits until somebody has it open to read.
        await using FileStream writer = await Task.Run(
            () => new FileStream(Path.Combine(_folder.Path, "pipe"), FileMode.Open, FileAccess.Write, FileShare.ReadWrite), TestContext.Current.CancellationToken);
        await interruption.CancelAsync();
        (int code, string text, string error) = await running;

        Assert.Equal("edgekv: interrupted.", error.Trim());
        Assert.Equal(130, code);
        Assert.Empty(text);
        Assert.Empty(Directory.GetFiles(_folder.Path, "*.lock"));
    }

    [Theory]
    [InlineData("ask -m $MODEL -q What? --policy knorm --max-tokens 2 -d <(cat $TEXT)")]
    [InlineData("ask -m $MODEL -q What? --policy knorm --max-tokens 2 -d /dev/stdin < $TEXT")]
    [InlineData("ask -m $MODEL -q What? --policy kvcompose --max-tokens 2 -d $TEXT --task-set <(echo What is said?)")]
    public async Task Input_AsTheShellHandsItOver_IsRead(string line)
    {
        ProcessStartInfo start = new("bash", ["-c", $"dotnet '{Path.Combine(AppContext.BaseDirectory, "EdgeKV.App.dll")}' {line}"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["MODEL"] = TinyModels.PathOf(TinyModel.LlamaGrouped);
        start.Environment["TEXT"] = Text();

        (int code, string text, string error) = await Programs.TryAsync(start);

        Assert.Empty(error);
        Assert.Contains("tokens read", text, StringComparison.Ordinal);
        Assert.Equal(0, code);
    }

    private string Text() => _folder.File("text.txt", "The code of the tin chest is 48213.\n"u8);

    private async Task<string[]> WordsAsync(string line)
    {
        string pipe = Path.Combine(_folder.Path, "pipe");
        await Programs.RunAsync("mkfifo", pipe);
        if (line.Contains("{run}", StringComparison.Ordinal))
        {
            Directory.CreateDirectory(Path.Combine(_folder.Path, "run"));
            await Programs.RunAsync("mkfifo", Path.Combine(_folder.Path, "run", "run.json"));
        }

        return [.. line.Split(' ').Select(word => word
            .Replace("{tiny}", TinyModels.PathOf(TinyModel.LlamaGrouped), StringComparison.Ordinal)
            .Replace("{text}", Text(), StringComparison.Ordinal)
            .Replace("{pipe}", pipe, StringComparison.Ordinal)
            .Replace("{run}", Path.Combine(_folder.Path, "run"), StringComparison.Ordinal)
            .Replace("{folder}", _folder.Path, StringComparison.Ordinal))];
    }

    private static async Task<(int Code, string Text, string Error)> RunAsync(string[] arguments, CancellationToken cancellation)
    {
        using TestTerminal terminal = new();
        int code = await Task.Run(() => CommandLineApp.RunAsync(arguments, terminal.Terminal, cancellation), TestContext.Current.CancellationToken);
        return (code, terminal.OutText, terminal.ErrorText);
    }
}
