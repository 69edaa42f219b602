using EdgeKV.Cli.Rendering;

namespace EdgeKV.App.Tests.Rendering;

public class RowChartTests
{
    [Fact]
    public void Draw_CompositeRows_GivesOneColumnPerLayer()
    {
        int[][] rows = [[100, 100], [50, 50], [0, 0], [25, 25], [1, 1], [75, 75]];

        IReadOnlyList<string> lines = RowChart.Draw(rows, 100, 40);

        Assert.Equal(
            [
                "   100 │██",
                "       │██             ▄▄",
                "       │██             ██",
                "    50 │██ ██          ██",
                "       │██ ██    ▄▄    ██",
                "       │██ ██    ██ ▁▁ ██",
                "       └──────────────────",
                " layer  0              5",
            ],
            lines);
    }

    [Fact]
    public void Draw_RaggedRows_AddsALinePerHead()
    {
        int[][] rows = [[100, 0], [50, 100], [10, 20]];

        IReadOnlyList<string> lines = RowChart.Draw(rows, 100, 40);

        Assert.Equal("head 0  ██ ▄▄ ▁▁", lines[^2]);
        Assert.Equal("head 1     ██ ▂▂", lines[^1]);
    }

    [Theory]
    [InlineData(30, 80)]
    [InlineData(80, 100)]
    [InlineData(32, 45)]
    public void Draw_ManyLayers_StaysWithinTheWidth(int layers, int width)
    {
        int[][] rows = [.. Enumerable.Range(0, layers).Select(layer => new[] { layer, 2 * layer })];

        Assert.All(RowChart.Draw(rows, 2 * layers, width), line => Assert.True(line.Length <= width, line));
    }

    [Fact]
    public void Draw_OneRowOfMany_IsStillSeen()
    {
        IReadOnlyList<string> lines = RowChart.Draw([[1], [0]], 10_000, 40);

        Assert.Contains('▁', lines[5]);
    }

    [Fact]
    public void Draw_NoRows_GivesNoLines() => Assert.Empty(RowChart.Draw([], 100, 80));
}
