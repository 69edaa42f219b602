using System.Text;
using EdgeKV.Files;

namespace EdgeKV.Evaluation;

/// <summary>Writes a run's report: one HTML file that needs no network, and its tables as CSV beside it.</summary>
public static class ReportWriter
{
    /// <summary>The report's name in a run's folder.</summary>
    public const string DefaultName = "report.html";

    private const int Beginning = 1024;

    /// <summary>Says that a report cannot be drawn before a run that ends with one begins.</summary>
    /// <exception cref="EdgeKVException">The chart library is missing.</exception>
    public static void EnsureCharts() => ChartLibrary.Read(AppContext.BaseDirectory);

    /// <summary>Reads a run, works out its figures and writes them.</summary>
    /// <param name="runFolder">The folder that a run wrote, finished or not.</param>
    /// <param name="outputPath">The HTML file; null: report.html in the run's folder. NAME.html has its tables in NAME-*.csv.</param>
    /// <param name="bootstrap">How intervals are found; null: 2000 draws, 95 %.</param>
    /// <exception cref="RunException">The run cannot be read.</exception>
    /// <exception cref="ReportException">The run has no results, or some that no mean can be taken of.</exception>
    /// <exception cref="EdgeKVException">The chart library is missing.</exception>
    /// <exception cref="OutputException">A file cannot be written.</exception>
    public static WrittenReport Write(string runFolder, string? outputPath = null, Bootstrap? bootstrap = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(runFolder);
        RunStatistics run;
        try
        {
            run = RunStatistics.From(RunFolder.ReadManifest(runFolder), RunFolder.ReadResults(runFolder), bootstrap);
        }
        catch (ReportException e)
        {
            throw new ReportException($"{runFolder}: {e.Message}", e);
        }

        string charts = ChartLibrary.Read(AppContext.BaseDirectory);
        string path = PageOf(runFolder, outputPath);
        List<string> tables = [];
        foreach ((string name, string text) in ReportCsv.Of(run))
        {
            tables.Add(TableOf(path, name));
            Write(tables[^1], text);
        }

        Write(path, ReportPage.Render(run, charts, [.. tables.Select(file => Path.GetFileName(file)!)]));
        return new WrittenReport(path, tables, run);
    }

    /// <summary>The files that <see cref="Write(string, string?, Bootstrap?)"/> may write: the page first, then all tables that there can be.</summary>
    /// <param name="runFolder">The folder that a run wrote.</param>
    /// <param name="outputPath">The HTML file; null: report.html in the run's folder.</param>
    public static IReadOnlyList<string> FilesOf(string runFolder, string? outputPath = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(runFolder);
        string path = PageOf(runFolder, outputPath);
        return [path, .. ReportCsv.Heads.Keys.Select(name => TableOf(path, name))];
    }

    /// <summary>Whether a file begins as a report's page or as one of its tables.</summary>
    /// <param name="path">The file.</param>
    /// <returns>False too where it cannot be read.</returns>
    public static bool IsReport(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        try
        {
            using StreamReader file = new(path);
            char[] beginning = new char[Beginning];
            string text = new(beginning, 0, file.ReadBlock(beginning));
            return text.Contains(ReportPage.Mark, StringComparison.Ordinal)
                || ReportCsv.Heads.Values.Any(head => text.StartsWith(head, StringComparison.Ordinal));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static string PageOf(string runFolder, string? outputPath) => Path.GetFullPath(outputPath ?? Path.Combine(runFolder, DefaultName));

    private static string TableOf(string page, string name) =>
        Path.Combine(Path.GetDirectoryName(page)!, $"{Path.GetFileNameWithoutExtension(page)}-{name}.csv");

    private static void Write(string path, string text) => OutputFile.Write(path, file => file.Write(Encoding.UTF8.GetBytes(text)));
}
