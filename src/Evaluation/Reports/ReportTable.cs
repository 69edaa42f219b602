namespace EdgeKV.Evaluation;

/// <summary>A table for people.</summary>
/// <param name="Columns">Heads; the first column names the rows.</param>
/// <param name="Rows">Cells, as many as columns; empty where there is nothing to say.</param>
public sealed record ReportTable(IReadOnlyList<string> Columns, IReadOnlyList<IReadOnlyList<string>> Rows);
