using EdgeKV.Evaluation;
using Spectre.Console;

namespace EdgeKV.Cli.Rendering;

/// <summary>A run's figures in short: notes, policies, accuracy.</summary>
internal static class RunTables
{
    // What a simple border takes for every column, and at its left.
    private const int Gap = 3;
    private const int Edge = 1;

    public static void Write(IAnsiConsole console, RunStatistics run)
    {
        foreach (string note in ReportTables.Notes(run))
        {
            console.WriteLine(note);
        }

        Write(console, ReportTables.Policies(run));
        if (run.Tasks.Any(task => !task.IsPerplexity))
        {
            console.WriteLine("Accuracy, mean over tasks");
            Write(console, ReportTables.Accuracy(run, intervals: false));
        }

        if (run.Tasks.Any(task => task.IsPerplexity))
        {
            console.WriteLine("Perplexity, geometric mean of each task");
            Write(console, ReportTables.Tasks(run, perplexity: true));
        }
    }

    private static void Write(IAnsiConsole console, ReportTable table)
    {
        int width = Edge + table.Columns.Select((column, i) => table.Rows.Select(row => row[i].Length).Append(column.Length).Max() + Gap).Sum();
        bool isWide = width > console.Profile.Width;
        Table grid = new Table().Border(TableBorder.Simple);
        for (int i = 0; i < table.Columns.Count; i++)
        {
            // What is too wide gives way in the heads of its numbers before it does in the names of its rows.
            string head = isWide && i > 0 ? table.Columns[i].Replace(' ', '\n') : table.Columns[i];
            TableColumn column = new(Markup.Escape(head));
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
