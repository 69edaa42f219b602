namespace EdgeKV.Evaluation;

/// <summary>A report on disk.</summary>
/// <param name="Path">The HTML file, as a full path.</param>
/// <param name="Tables">The CSV files, as full paths.</param>
/// <param name="Statistics">The figures; <see cref="ReportTables"/> makes tables of them.</param>
public sealed record WrittenReport(string Path, IReadOnlyList<string> Tables, RunStatistics Statistics);
