using EdgeKV.Cli.Commands;
using EdgeKV.Measurements.Subjects;

namespace EdgeKV.App.Tests.Commands;

public sealed class ReportTests
{
    [Fact]
    public async Task Report_SmallRun_WritesPageAndTablesAndPrintsFigures()
    {
        Assert.SkipUnless(File.Exists(Path.Combine(Places.Checkout, "artifacts", "charts", "charts.js")), "artifacts/charts/charts.js is not there: ./build.sh charts fetches it.");
        using TemporaryFolder folder = new();
        string page = Path.Combine(folder.Path, "r.html");
        using TestTerminal terminal = new();

        int code = await RunAsync(terminal, "report", Path.Combine(Places.Checkout, "tests", "EdgeKV.Evaluation.Tests", "Reports", "small-run"), "--output", page);

        Assert.Equal(0, code);
        Assert.True(File.Exists(page));
        Assert.True(File.Exists(Path.Combine(folder.Path, "r-accuracy.csv")));
        Assert.Matches(@"\n +policy +AUC +r +r +r +score, +first +peak *\n +over ", terminal.OutText);
        Assert.Matches(@"\n +global +0\.88 \(0\.84–0\.92\) +0 +0 +0\.5 ", terminal.OutText);
        Assert.Matches(@"\n +ada:scorer=snapkv,alpha=\S* +0\.74 ", terminal.OutText);
        Assert.Contains("Accuracy, mean over tasks", terminal.OutText, StringComparison.Ordinal);
        Assert.EndsWith($"{page}, and 6 tables as CSV beside it.\n", terminal.OutText, StringComparison.Ordinal);
        Assert.Empty(terminal.ErrorText);
    }

    [Fact]
    public async Task Report_FolderWithoutARun_SaysWhatToName()
    {
        using TemporaryFolder folder = new();
        using TestTerminal terminal = new();

        int code = await RunAsync(terminal, "report", folder.Path);

        Assert.Equal(4, code);
        Assert.Empty(terminal.OutText);
        Assert.Contains($"{folder.Path} holds no run.json; name a folder that 'edgekv eval' wrote.", terminal.ErrorText, StringComparison.Ordinal);
        Assert.Single(terminal.ErrorText.TrimEnd().Split('\n'));
    }

    private static Task<int> RunAsync(TestTerminal terminal, params string[] args) => CommandLineApp.RunAsync(args, terminal.Terminal, TestContext.Current.CancellationToken);
}
