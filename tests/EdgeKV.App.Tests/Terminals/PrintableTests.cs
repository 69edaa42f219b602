using EdgeKV.Cli.Commands;
using EdgeKV.Cli.Terminals;
using Spectre.Console;

namespace EdgeKV.App.Tests.Terminals;

/// <summary>A terminal obeys no control character that comes from outside.</summary>
public class PrintableTests
{
    private const string Evil = "a\u001b[2J\u0007b\u009b1m\u007f";
    private const string Shown = @"a\u001b[2J\u0007b\u009b1m\u007f";

    [Theory]
    [InlineData(Evil, Shown)]
    [InlineData("lines\nand\ttabs, é and 漢", "lines\nand\ttabs, é and 漢")]
    public void Of_AnyText_ShowsWhatATerminalWouldObey(string text, string expected) => Assert.Equal(expected, Printable.Of(text));

    [Theory]
    [InlineData("ask", "--document", Evil, "--question", "Q?")]
    [InlineData("ask", "--document", "-", "--question", "Q?", "--model", Evil)]
    [InlineData("ask", "--document", "-", "--question", "Q?", "--ratio", Evil)]
    [InlineData("info", Evil)]
    [InlineData("report", Evil)]
    [InlineData("policies", Evil)]
    public async Task Message_WithControlCharacters_ShowsThem(params string[] args)
    {
        using TestTerminal terminal = new("text");

        Assert.NotEqual(0, await CommandLineApp.RunAsync(args, terminal.Terminal, TestContext.Current.CancellationToken));

        Assert.Contains(Shown, terminal.ErrorText, StringComparison.Ordinal);
        Assert.DoesNotContain(terminal.ErrorText.TrimEnd('\n'), char.IsControl);
    }

    [Fact]
    public void Tables_WithControlCharacters_ShowThem()
    {
        using TestTerminal terminal = new();

        terminal.Terminal.OutConsole().Write(new Table().AddColumn("head").AddRow(new Text(Evil)));

        Assert.Contains(Shown, terminal.OutText, StringComparison.Ordinal);
    }
}
