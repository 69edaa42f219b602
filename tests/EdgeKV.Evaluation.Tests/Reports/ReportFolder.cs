using EdgeKV.Measurements.Subjects;

namespace EdgeKV.Evaluation.Tests.Reports;

/// <summary>A copy of the small run that lies beside the tests: three tasks and a perplexity, one failed cell, a cut last line, names that are HTML.</summary>
internal sealed class ReportFolder : IDisposable
{
    public ReportFolder()
    {
        foreach (string file in Directory.GetFiles(System.IO.Path.Combine(Places.Checkout, "tests", "EdgeKV.Evaluation.Tests", "Reports", "small-run")))
        {
            File.Copy(file, System.IO.Path.Combine(Path, System.IO.Path.GetFileName(file)));
        }
    }

    public string Path { get; } = Directory.CreateTempSubdirectory("edgekv-report-").FullName;

    public string Manifest => System.IO.Path.Combine(Path, "run.json");

    public string Results => System.IO.Path.Combine(Path, "results.jsonl");

    /// <summary>Writes the report; the test is skipped where the build has not fetched the chart library.</summary>
    public WrittenReport Write(string? output = null)
    {
        Assert.SkipUnless(
            File.Exists(System.IO.Path.Combine(Places.Checkout, "artifacts", "charts", "charts.js")),
            "artifacts/charts/charts.js is not there: ./build.sh charts fetches it.");
        return ReportWriter.Write(Path, output, new Bootstrap { Resamples = 100 });
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
