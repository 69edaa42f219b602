using System.Diagnostics;
using EdgeKV.App.Tests.Outputs;
using EdgeKV.Cli.Commands;
using EdgeKV.Cli.Terminals;
using EdgeKV.Measurements.Subjects;

namespace EdgeKV.App.Tests.Commands;

/// <summary>Standard streams that are closed, full or not text, as shells give them to the process.</summary>
[Collection(EngineCollection.Name)]
public sealed class StreamTests : IDisposable
{
    private const string Program = "dotnet \"$PROGRAM\" ";

    private readonly TemporaryFolder _folder = new();

    public StreamTests()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "The shell and its devices are Linux's.");
        EngineCollection.Require();
    }

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("policies > /dev/full")]
    [InlineData("policies --json > /dev/full")]
    [InlineData("ask --help > /dev/full")]
    [InlineData("info $MODEL > /dev/full")]
    [InlineData("info $MODEL --json > /dev/full")]
    [InlineData("ask $MODEL -d $TEXT -q What? --policy knorm --max-tokens 2 > /dev/full")]
    [InlineData("ask $MODEL -d $TEXT -q What? --policy knorm --max-tokens 2 --json > /dev/full")]
    [InlineData("policies >&-")]
    [InlineData("info $MODEL >&-")]
    [InlineData("ask $MODEL -d $TEXT -q What? --policy knorm --max-tokens 2 >&-")]
    public async Task Out_FullOrClosed_IsOneLineAndCannotWrite(string line)
    {
        (int code, string text, string error) = await ShellAsync(Program + line);

        Assert.Equal("", text);
        Assert.Single(error.TrimEnd().Split('\n'));
        Assert.StartsWith("edgekv: standard output cannot be written: ", error, StringComparison.Ordinal);
        Assert.Equal(6, code);
    }

    [Theory]
    [InlineData("policies")]
    [InlineData("--help")]
    [InlineData("info $MODEL --json")]
    [InlineData("ask $MODEL -d $TEXT -q What? --policy knorm --max-tokens 2")]
    public async Task Out_ReaderGone_IsSilentAndItsCode(string line)
    {
        // The reader ends before the command has started, and the shell waits for both.
        (int code, string text, string error) = await ShellAsync(
            $"({Program}{line}; echo $? > code) | true; cat code");

        Assert.Equal("", error);
        Assert.Equal("141", text.Trim());
        Assert.Equal(0, code);
    }

    [Fact]
    public async Task Ask_ReaderGoneAfterTheFirstPiece_StopsGenerating()
    {
        GoneWriter gone = new();
        Terminal terminal = new(Stream.Null, gone, TextWriter.Null, WatchedOut: false, WatchedError: false);

        int code = await CommandLineApp.RunAsync(
            ["ask", "-m", Places.Model, "-d", Text(), "-q", "What?", "-q", "And then?", "--policy", "knorm", "--max-tokens", "500"],
            terminal,
            TestContext.Current.CancellationToken);

        Assert.Equal(141, code);
        Assert.Equal(1, gone.Refused);
    }

    [Theory]
    [InlineData("ask $MODEL -d - -q What? <&-", "document standard input is empty")]
    [InlineData("ask $MODEL -d - -q What? < /dev/null", "document standard input is empty")]
    [InlineData("bench -m $MODEL -d - <&-", "document standard input is empty")]
    public async Task In_ClosedOrEmpty_IsData(string line, string expected)
    {
        (int code, _, string error) = await ShellAsync(Program + line);

        Assert.Contains(expected, error, StringComparison.Ordinal);
        Assert.Equal(4, code);
    }

    [Theory]
    [InlineData(@"ask $MODEL -d $TEXT -q ""$(printf 'a\377b')""", 2)]
    [InlineData(@"ask $MODEL -d ""$(printf 'no\355\240\200ne')"" -q What?", 2)]
    [InlineData(@"ask $MODEL -d none -q ""$(printf 'a\357\277\275b')""", 4)]
    public async Task Arguments_InvalidUtf8_AreRefused(string line, int expected)
    {
        (int code, _, string error) = await ShellAsync(Program + line);

        Assert.Equal(expected == 2, error.Contains("is not UTF-8 text", StringComparison.Ordinal));
        Assert.Equal(expected, code);
    }

    [Theory]
    [InlineData("> out.txt && cat out.txt")]
    [InlineData("| cat")]
    public async Task Bench_JsonToTheNameOfStandardOutput_ComesAfterTheTable(string output)
    {
        (int code, string text, _) = await ShellAsync(
            $"{Program}bench $MODEL --policy knorm --depths 40 --ratios 0.5 --cache-types f16 --prefills 1 --passes 0 --repeats 1 --warm-up 0 --decode 1 --json /dev/stdout {output}");

        Assert.Equal(0, code);
        Assert.Contains("40 tokens, f16", text, StringComparison.Ordinal);
        Assert.EndsWith("\n}\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Out_PipeThatDoesNotBlock_GetsAllOfIt()
    {
        // The pipe holds less than the text.
        const string Reader = """
            python3 -c 'import fcntl, os, subprocess, sys
            r, w = os.pipe()
            fcntl.fcntl(w, 1031, 4096)
            os.set_blocking(w, False)
            program = subprocess.Popen(sys.argv[1:], stdout=w)
            os.close(w)
            text = b"".join(iter(lambda: os.read(r, 65536), b""))
            sys.stdout.buffer.write(text)
            sys.exit(program.wait())'
            """;
        Assert.SkipUnless((await ShellAsync("command -v python3")).Code == 0, "There is no python3 to make such a pipe.");

        (int code, string text, _) = await ShellAsync($"{Reader.TrimEnd()} {Program}policies --json");
        (_, string whole, _) = await ShellAsync($"{Program}policies --json");

        Assert.Equal(0, code);
        Assert.True(whole.Length > 4096);
        Assert.Equal(whole, text);
    }

    [Fact]
    public async Task Error_Full_ChangesNothingElse()
    {
        (int code, string text, _) = await ShellAsync(Program + "policies --json 2> /dev/full");

        Assert.Equal(0, code);
        Assert.StartsWith("{", text, StringComparison.Ordinal);
    }

    private string Text() => _folder.File("text.txt", "The code of the tin chest is 48213.\n"u8);

    private async Task<(int Code, string Text, string Error)> ShellAsync(string script)
    {
        ProcessStartInfo start = new("sh", ["-c", script])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = _folder.Path,
        };
        start.Environment["PROGRAM"] = Path.Combine(AppContext.BaseDirectory, "EdgeKV.App.dll");
        start.Environment["MODEL"] = TinyModels.PathOf(TinyModel.LlamaGrouped);
        start.Environment["TEXT"] = Text();
        return await Programs.TryAsync(start);
    }

    /// <summary>Takes what comes before an answer's first piece, and nothing after it.</summary>
    private sealed class GoneWriter : StringWriter
    {
        public int Refused { get; private set; }

        public override void Write(string? value)
        {
            if (ToString().EndsWith("A: ", StringComparison.Ordinal))
            {
                Refused++;
                throw new ReaderGoneException();
            }

            base.Write(value);
        }
    }
}
