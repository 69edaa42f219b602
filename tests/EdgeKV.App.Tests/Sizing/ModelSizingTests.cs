using EdgeKV.Cli.Asking;
using EdgeKV.Cli.Rendering;
using EdgeKV.Cli.Sizing;
using EdgeKV.Models;

namespace EdgeKV.App.Tests.Sizing;

public class ModelSizingTests
{
    private static readonly ModelFacts Model = new("m.gguf", "tiny", 30, 9, 3, 8192);

    private static readonly KvMemory Memory = new(CacheGeometry.Uniform(30, 9, 3, 64, 64));

    [Fact]
    public void From_OneTokensMemory_FitsOneTokenOfTheFullCache()
    {
        ModelSizing sizing = ModelSizing.From(Model, null, 98_000_000, Memory, 23040);

        Assert.Equal(["f16", "q8_0", "q4_0"], sizing.CacheTypes.Select(type => type.CacheType));
        Assert.Equal([23040, 12240, 6480], sizing.CacheTypes.Select(type => type.BytesPerToken));
        Assert.Equal([1, 1, 3], sizing.CacheTypes.Select(type => type.TokensThatFit[0]));
        Assert.All(sizing.CacheTypes, type => Assert.Equal(sizing.Ratios.Count, type.TokensThatFit.Count));
    }

    [Fact]
    public void Write_InAPipe_NamesWindowAndSizesWithoutEscapes()
    {
        using TestTerminal terminal = new();

        InfoTable.Write(terminal.Terminal.OutConsole(), ModelSizing.From(Model, null, 98_000_000, Memory, 1L << 30));

        Assert.Contains("22.5 KiB", terminal.OutText, StringComparison.Ordinal);
        Assert.Contains("46,603", terminal.OutText, StringComparison.Ordinal);
        Assert.Contains("8,192", terminal.OutText, StringComparison.Ordinal);
        Assert.DoesNotContain('\e', terminal.OutText);
    }

    [Fact]
    public void Write_NoProfile_NamesTheCommandThatMakesOne() =>
        Assert.Contains("No profile: ask scores rows by a repeat pass. `edgekv calibrate m.gguf` makes one.", Written(null), StringComparison.Ordinal);

    [Fact]
    public void Write_Profile_ShowsWhereItIsAndWhereItComesFrom()
    {
        ProfileFacts profile = new(
            "/p/m.edgekv",
            new Dictionary<string, string> { ["texts"] = "12 files\nof ours", ["tokens"] = "100000", ["r2 layer 0"] = "0.5 0.6" },
            new Dictionary<string, double> { ["near"] = -7.1254 });

        string text = Written(profile);

        Assert.Contains("Profile: /p/m.edgekv\n  texts: 12 files of ours\n  tokens: 100000\n  --quality near: --threshold -7.125\n", text, StringComparison.Ordinal);
        Assert.DoesNotContain("No profile", text, StringComparison.Ordinal);
    }

    private static string Written(ProfileFacts? profile)
    {
        using TestTerminal terminal = new();
        InfoTable.Write(terminal.Terminal.OutConsole(), ModelSizing.From(Model, profile, 98_000_000, Memory, 1L << 30));
        return terminal.OutText;
    }
}
