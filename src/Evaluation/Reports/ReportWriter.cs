using System.Text;

namespace EdgeKV.Evaluation;

/// <summary>Writes a run's report: one HTML file that needs no network, and its tables as CSV beside it.</summary>
public static class ReportWriter
{
    /// <summary>The report's name in a run's folder.</summary>
    public const string DefaultName = "report.html";

    /// <summary>Says that a report cannot be drawn before a run that ends with one begins.</summary>
    /// <exception cref="ReportException">The chart library is missing.</exception>
    public static void EnsureCharts() => ChartLibrary.Read(AppContext.BaseDirectory);

    /// <summary>Reads a run, works out its figures and writes them.</summary>
    /// <param name="runFolder">The folder that a run wrote, finished or not.</param>
    /// <param name="outputPath">The HTML file; null: report.html in the run's folder. NAME.html has its tables in NAME-*.csv.</param>
    /// <param name="bootstrap">How intervals are found; null: 2000 draws, 95 %.</param>
    /// <exception cref="RunException">The run cannot be read.</exception>
    /// <exception cref="ReportException">The run has no results, the chart library is missing, or a file cannot be written.</exception>
    public static WrittenReport Write(string runFolder, string? outputPath = null, Bootstrap? bootstrap = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(runFolder);
        RunStatistics run = RunStatistics.From(RunFolder.ReadManifest(runFolder), RunFolder.ReadResults(runFolder), bootstrap);
        string charts = ChartLibrary.Read(AppContext.BaseDirectory);
        string path = Path.GetFullPath(outputPath ?? Path.Combine(runFolder, DefaultName));
        string stem = Path.Combine(Path.GetDirectoryName(path)!, Path.GetFileNameWithoutExtension(path));
        List<string> tables = [];
        try
        {
            foreach ((string name, string text) in ReportCsv.Of(run))
            {
                string file = $"{stem}-{name}.csv";
                Replace(file, text);
                tables.Add(file);
            }

            Replace(path, ReportPage.Render(run, charts, [.. tables.Select(file => Path.GetFileName(file)!)]));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ReportException($"{path} cannot be written: {e.Message.TrimEnd('.')}. Name another file with --output.", e);
        }

        return new WrittenReport(path, tables, run);
    }

    // Whoever looks at an earlier report while this one is written sees it whole.
    private static void Replace(string file, string text)
    {
        string partial = file + ".new";
        File.WriteAllText(partial, text, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
        File.Move(partial, file, overwrite: true);
    }
}
