using EdgeKV.Evaluation;
using Spectre.Console;

namespace EdgeKV.Cli.Rendering;

/// <summary>A run's figures in short: notes, policies, accuracy.</summary>
internal static class RunTables
{
    public static void Write(IAnsiConsole console, RunStatistics run)
    {
        foreach (string note in ReportTables.Notes(run))
        {
            console.WriteLine(note);
        }

        Write(console, ReportTables.Policies(run));
        console.WriteLine("Accuracy, mean over tasks");
        Write(console, ReportTables.Accuracy(run, intervals: false));
    }

    private static void Write(IAnsiConsole console, ReportTable table)
    {
        Table grid = new Table().Border(TableBorder.Simple);
        for (int i = 0; i < table.Columns.Count; i++)
        {
            TableColumn column = new(Markup.Escape(table.Columns[i]));
            column.Alignment = i == 0 ? Justify.Left : Justify.Right;
            column.NoWrap = i > 0;
            grid.AddColumn(column);
        }

        foreach (IReadOnlyList<string> row in table.Rows)
        {
            grid.AddRow([.. row.Select(Markup.Escape)]);
        }

        console.Write(grid);
    }
}
