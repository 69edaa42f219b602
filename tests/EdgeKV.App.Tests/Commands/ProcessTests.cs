using System.Diagnostics;
using System.Globalization;
using System.Text;
using EdgeKV.App.Tests.Outputs;
using EdgeKV.Measurements.Subjects;

namespace EdgeKV.App.Tests.Commands;

/// <summary>The program as a process of its own: signals and streams as a shell gives them.</summary>
[Collection(EngineCollection.Name)]
public sealed class ProcessTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public ProcessTests()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "A process cannot be sent Ctrl-C by its id on Windows.");
        EngineCollection.Require();
    }

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("-INT")]
    [InlineData("-TERM")]
    [InlineData("-HUP")]
    [InlineData("-QUIT")]
    public async Task Ask_SignalDuringPrefill_StopsWithinASecond(string signal)
    {
        Assert.SkipWhen(Ignores(signal), "Whoever started these tests has them ignore this signal, as a background job of a script ignores Ctrl-C, and the program inherits that.");
        string text = string.Concat(Enumerable.Repeat(File.ReadAllText(Places.Document), 4));
        string document = _folder.File("long.txt", Encoding.UTF8.GetBytes(text[..(text.Length * 95 / 100)]));
        using Process process = Start("dotnet", Application, "ask", "--model", Places.Model, "--document", document, "--policy", "kvcompose", "--question", "What is the height of the tower?");
        Task<string> error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        Task<string> output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);

        // Starting and loading take well under two seconds of the processor, the prefill half a minute of it.
        while (process.TotalProcessorTime < TimeSpan.FromSeconds(4))
        {
            Assert.False(process.HasExited, "The run ended before it could be interrupted.");
            await Task.Delay(50, TestContext.Current.CancellationToken);
        }

        Stopwatch stopping = Stopwatch.StartNew();
        using (Process kill = Process.Start("kill", [signal, process.Id.ToString(CultureInfo.InvariantCulture)]))
        {
            await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        }

        Assert.InRange(stopping.Elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(1));
        Assert.Equal(130, process.ExitCode);
        Assert.Equal("edgekv: interrupted.", (await error).Trim());
        Assert.Empty(await output);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public async Task Eval_SignalWhileSamplesAreMade_IsExitCode130(int seconds)
    {
        Assert.SkipWhen(Ignores("-TERM"), "Whoever started these tests has them ignore this signal, and the program inherits that.");

        // So many samples that none is answered before the signal, whenever it comes.
        string output = Path.Combine(_folder.Path, "run");
        using Process process = Start(
            "dotnet", Application, "eval", TinyModels.PathOf(TinyModel.LlamaGrouped), "--synthetic", "--samples", "1000000", "--lengths", "4096", "-p", "knorm", "-o", output);
        Task<string> error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        while (process.TotalProcessorTime < TimeSpan.FromSeconds(seconds))
        {
            Assert.False(process.HasExited, "The run ended before it could be interrupted.");
            await Task.Delay(50, TestContext.Current.CancellationToken);
        }

        await Programs.RunAsync("kill", "-TERM", process.Id.ToString(CultureInfo.InvariantCulture));
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);

        Assert.Equal("edgekv: interrupted.", (await error).Trim());
        Assert.Equal(130, process.ExitCode);
        Assert.False(Directory.Exists(output));
    }

    [Fact]
    public async Task Ask_FromAPipe_AnswersOnStandardOutputOnly()
    {
        using Process process = Start("dotnet", Application, "ask", "--model", Places.Model, "--document", "-", "--policy", "kvcompose", "--question", "What is the height of the tower?");
        Task<string> error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        Task<string> output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);

        string text = await File.ReadAllTextAsync(Places.Document, TestContext.Current.CancellationToken);
        await process.StandardInput.WriteAsync(text[..text.IndexOf("The keepers who came", StringComparison.Ordinal)]);
        process.StandardInput.Close();
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);

        Assert.Empty(await error);
        Assert.Equal(0, process.ExitCode);
        Assert.Contains("43", await output, StringComparison.Ordinal);
        Assert.Contains("█", await output, StringComparison.Ordinal);
        Assert.DoesNotContain('\e', await output);
    }

    [Fact]
    public async Task Ask_HangUpUnderNohup_GoesOn()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Only Linux tells which signals a process was started to ignore.");

        // The document comes when the program has got the signal, and is then read.
        string pipe = Path.Combine(_folder.Path, "pipe");
        await Programs.RunAsync("mkfifo", pipe);
        using Process process = Start(
            "nohup", "dotnet", Application, "ask", "--model", TinyModels.PathOf(TinyModel.LlamaGrouped), "--document", pipe, "--policy", "knorm", "--max-tokens", "2", "--question", "Q?");
        Task<string> error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        Task<string> output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await using (FileStream document = await Task.Run(() => new FileStream(pipe, FileMode.Open, FileAccess.Write, FileShare.ReadWrite), TestContext.Current.CancellationToken))
        {
            await Programs.RunAsync("kill", "-HUP", process.Id.ToString(CultureInfo.InvariantCulture));
            document.Write("Some words."u8);
        }

        await process.WaitForExitAsync(TestContext.Current.CancellationToken);

        Assert.DoesNotContain("interrupted", await error, StringComparison.Ordinal);
        Assert.Contains("tokens read", await output, StringComparison.Ordinal);
        Assert.Equal(0, process.ExitCode);
    }

    // Bit n - 1 of this mask stands for signal n.
    private static bool Ignores(string signal)
    {
        int number = signal switch { "-HUP" => 1, "-INT" => 2, "-QUIT" => 3, _ => 15 };
        const string Status = "/proc/self/status";
        const string Key = "SigIgn:";
        return File.Exists(Status)
            && File.ReadLines(Status).FirstOrDefault(line => line.StartsWith(Key, StringComparison.Ordinal)) is { } mask
            && (ulong.Parse(mask[Key.Length..].Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture) >> (number - 1) & 1) != 0;
    }

    private static string Application => Path.Combine(AppContext.BaseDirectory, "EdgeKV.App.dll");

    private static Process Start(string program, params string[] arguments)
    {
        ProcessStartInfo start = new(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = Encoding.UTF8,
            StandardErrorEncoding = Encoding.UTF8,
        };
        return Process.Start(start)!;
    }
}
