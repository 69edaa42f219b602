using EdgeKV.Cli.Asking;
using EdgeKV.Cli.Rendering;

namespace EdgeKV.App.Tests.Rendering;

public class AskTableTests
{
    [Fact]
    public void Write_InAPipe_HasNoEscapeCodes()
    {
        Assert.DoesNotContain('\e', Written(SampleReport.Composite));
        Assert.DoesNotContain('\e', Written(SampleReport.Ragged));
    }

    [Theory]
    [InlineData("rows", "4,000", "800", "-80.0 %")]
    [InlineData("MiB of rows", "2.0", "0.4", "-80.0 %")]
    [InlineData("MiB with room", "4.0", "1.0", "-75.0 %")]
    [InlineData("tokens/s", "30.0", "75.0", "2.50 x")]
    [InlineData("seconds", "4.00", "8.00", "0.013", "0.050")]
    public void Write_Report_ShowsBeforeAndAfter(params string[] cells)
    {
        string line = Assert.Single(
            Written(SampleReport.Composite).Split('\n'), line => line.TrimStart().StartsWith(cells[0] + "  ", StringComparison.Ordinal));

        Assert.Equal(cells, line.Split("  ", StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
    }

    [Fact]
    public void Write_Scores_NamesThemAndWhatTheyCost()
    {
        Assert.Contains("Scores: context; a pass of 1,000 tokens, 8.00 s.", Written(SampleReport.Composite), StringComparison.Ordinal);
        Assert.Contains(
            "Scores: learned; computed with the prefill, no pass, 203 KiB of weights (0.22 % of the model's).",
            Written(SampleReport.Ragged),
            StringComparison.Ordinal);
    }

    [Fact]
    public void Write_WithoutCompare_SaysThatTheFullCacheWasNotMeasured() =>
        Assert.Contains("not measured", Written(SampleReport.Ragged), StringComparison.Ordinal);

    [Fact]
    public void Write_RaggedRows_ShowsEveryHead()
    {
        Assert.Contains("head 1", Written(SampleReport.Ragged), StringComparison.Ordinal);
        Assert.DoesNotContain("head 1", Written(SampleReport.Composite), StringComparison.Ordinal);
    }

    [Fact]
    public void Write_WhileReading_ShowsThePeak()
    {
        string text = Written(SampleReport.WhileReading);

        Assert.Matches("MiB with room +never there +1\\.0", text);
        Assert.Matches("MiB at most, reading +1\\.5", text);
        Assert.DoesNotContain("at most", Written(SampleReport.Ragged), StringComparison.Ordinal);
    }

    [Fact]
    public void Write_MergedAndRerotated_SaysSo()
    {
        string text = Written(SampleReport.Composite with { MergedRows = 1234, MergeSeconds = 0.5, Rerotated = true });

        Assert.Contains("Merged: the values of 1,234 removed rows went into kept ones; finding them took 0.50 s.", text, StringComparison.Ordinal);
        Assert.Contains("Positions: closed up", text, StringComparison.Ordinal);
        Assert.DoesNotMatch("Merged|Positions:", Written(SampleReport.Composite));
    }

    private static string Written(AskReport report)
    {
        using TestTerminal terminal = new();
        AskTable.Write(terminal.Terminal.OutConsole(), report);
        return terminal.OutText;
    }
}
