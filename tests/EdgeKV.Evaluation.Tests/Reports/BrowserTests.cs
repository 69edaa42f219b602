using System.Diagnostics;
using System.Text.RegularExpressions;

namespace EdgeKV.Evaluation.Tests.Reports;

/// <summary>The report in a real browser.</summary>
public sealed class BrowserTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly ReportFolder _run = new();

    public void Dispose() => _run.Dispose();

    [Fact]
    public async Task Open_SmallRun_DrawsEveryChartWithoutErrors()
    {
        string browser = Find() ?? "";
        Assert.SkipWhen(browser.Length == 0, "There is no chromium here (Debian: apt-get install chromium).");
        string page = _run.Write().Path;

        (string dom, string log) = await OpenAsync(browser, page);

        Assert.DoesNotContain("CONSOLE", log, StringComparison.Ordinal);
        Assert.Contains("data-charts=\"drawn\"", dom, StringComparison.Ordinal);
        string body = dom[..dom.IndexOf("id=\"report-data\"", StringComparison.Ordinal)];
        string[] parts = Regex.Split(body, "data-chart=\"");
        Assert.Equal(
            ["accuracy", "tasks", "perplexity", "needles", "layers", "memory", "speed", "stages"],
            parts.Skip(1).Select(part => part[..part.IndexOf('"', StringComparison.Ordinal)]));

        // 3 tasks, 1 perplexity; the full cache and 2 policies; 2 policies.
        Assert.Equal([1, 3, 1, 3, 2, 1, 1, 1], parts.Skip(1).Select(part => Regex.Count(part, "<svg[^>]* aria-label=")));
    }

    private static async Task<(string Dom, string Log)> OpenAsync(string browser, string page)
    {
        string profile = Directory.CreateTempSubdirectory("edgekv-browser-").FullName;
        try
        {
            ProcessStartInfo start = new(
                browser,
                [
                    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-logging=stderr", $"--user-data-dir={profile}",
                    "--window-size=1000,1000", "--dump-dom", new Uri(page).AbsoluteUri,
                ])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            };
            using Process process = Process.Start(start)!;
            using CancellationTokenSource patience = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
            patience.CancelAfter(Patience);
            try
            {
                Task<string> log = process.StandardError.ReadToEndAsync(patience.Token);
                string dom = await process.StandardOutput.ReadToEndAsync(patience.Token);
                await process.WaitForExitAsync(patience.Token);
                Assert.Equal(0, process.ExitCode);
                return (dom, await log);
            }
            finally
            {
                if (!process.HasExited)
                {
                    process.Kill(entireProcessTree: true);
                }
            }
        }
        finally
        {
            Directory.Delete(profile, recursive: true);
        }
    }

    private static string? Find() => (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
        .SelectMany(folder => new[] { "chromium", "chromium-browser", "google-chrome" }.Select(name => Path.Combine(folder, name)))
        .FirstOrDefault(File.Exists);
}
