using EdgeKV.Cli.Asking;
using EdgeKV.Cli.Rendering;
using EdgeKV.Cli.Sizing;

namespace EdgeKV.App.Tests.Sizing;

public class ModelSizingTests
{
    private static readonly ModelFacts Model = new("m.gguf", "tiny", 30, 9, 3, 8192);

    private static readonly KvMemory Memory = new(30, 3, 64, 64);

    [Fact]
    public void From_OneTokensMemory_FitsOneTokenOfTheFullCache()
    {
        ModelSizing sizing = ModelSizing.From(Model, 98_000_000, Memory, 23040);

        Assert.Equal(["f16", "q8_0", "q4_0"], sizing.CacheTypes.Select(type => type.CacheType));
        Assert.Equal([23040, 12240, 6480], sizing.CacheTypes.Select(type => type.BytesPerToken));
        Assert.Equal([1, 1, 3], sizing.CacheTypes.Select(type => type.TokensThatFit[0]));
        Assert.All(sizing.CacheTypes, type => Assert.Equal(sizing.Ratios.Count, type.TokensThatFit.Count));
    }

    [Fact]
    public void Write_InAPipe_NamesWindowAndSizesWithoutEscapes()
    {
        using TestTerminal terminal = new();

        InfoTable.Write(terminal.Terminal.OutConsole(), ModelSizing.From(Model, 98_000_000, Memory, 1L << 30));

        Assert.Contains("22.5 KiB", terminal.OutText, StringComparison.Ordinal);
        Assert.Contains("46,603", terminal.OutText, StringComparison.Ordinal);
        Assert.Contains("8,192", terminal.OutText, StringComparison.Ordinal);
        Assert.DoesNotContain('\e', terminal.OutText);
    }
}
