using System.Globalization;
using EdgeKV.Cli.Asking;
using Spectre.Console;

namespace EdgeKV.Cli.Rendering;

/// <summary>The table and the chart that end a run of <c>ask</c>.</summary>
internal static class AskTable
{
    private const double MiB = 1024 * 1024;

    public static void Write(IAnsiConsole console, AskReport report)
    {
        console.WriteLine();
        console.Write(Sizes(report));
        console.WriteLine();
        console.WriteLine(report.IsRagged ? "Rows kept per layer (mean of its KV heads), and per KV head" : "Rows kept per layer");
        foreach (string line in RowChart.Draw(report.Rows, report.Document.ContextTokens, console.Profile.Width))
        {
            console.WriteLine(line, new Style(Color.Teal));
        }

        console.WriteLine();
        console.Write(Times(report));
        console.WriteLine(Scores(report.Scores));
        if (report.MergedRows is { } merged)
        {
            console.WriteLine(
                $"Merged: the values of {Number(merged)} removed rows went into kept ones; finding them took {Digits(report.MergeSeconds ?? 0, "0.00")} s.");
        }

        if (report.Rerotated)
        {
            console.WriteLine("Positions: closed up, the next token comes right after the kept rows.");
        }
    }

    private static string Scores(ScoreFacts scores)
    {
        string pass = scores.PassSeconds is { } seconds
            ? $"a pass of {Number(scores.PassTokens)} tokens, {Digits(seconds, "0.00")} s"
            : "computed with the prefill, no pass";
        string weights = scores.WeightBytes == 0
            ? ""
            : $", {ByteSize.Format(scores.WeightBytes)} of weights ({Digits(scores.WeightShare * 100, "0.00")} % of the model's)";
        return $"Scores: {scores.Name}; {pass}{weights}.";
    }

    private static Table Sizes(AskReport report)
    {
        Table table = Plain("", "full cache", "compact", "");
        table.AddRow("tokens read", Number(report.Document.ContextTokens), "", "");
        table.AddRow("rows", Number(report.Full.Rows), Number(report.Compact.Rows), Removed(report.Full.Rows, report.Compact.Rows));
        table.AddRow("MiB of rows", Mebibytes(report.Full.RowBytes), Mebibytes(report.Compact.RowBytes), Removed(report.Full.RowBytes, report.Compact.RowBytes));
        table.AddRow(
            "MiB with room",
            report.Full.BufferBytes is { } full ? Mebibytes(full) : "never there",
            Mebibytes(report.Compact.BufferBytes ?? 0),
            Removed(report.Full.BufferBytes ?? 0, report.Compact.BufferBytes ?? 0));
        if (report.PeakBytes is { } peak)
        {
            table.AddRow("MiB at most, reading", "", Mebibytes(peak), "");
        }

        if (report.TokensPerSecond.After is { } after)
        {
            double? before = report.TokensPerSecond.Before;
            table.AddRow(
                "tokens/s",
                before is { } speed ? Digits(speed, "0.0") : "not measured",
                Digits(after, "0.0"),
                before is > 0 ? $"{Digits(after / before.Value, "0.00")} x" : "--compare measures it");
        }

        return table;
    }

    private static Table Times(AskReport report)
    {
        Table table = Plain("", "prefill", "scoring", "planning", "applying");
        table.AddRow(
            "seconds",
            Digits(report.Seconds.Prefill, "0.00"),
            Digits(report.Seconds.Score, "0.00"),
            Digits(report.Seconds.Plan, "0.000"),
            Digits(report.Seconds.Apply, "0.000"));
        return table;
    }

    private static Table Plain(string first, params string[] columns)
    {
        Table table = new Table().Border(TableBorder.Simple).AddColumn(first);
        foreach (string column in columns)
        {
            table.AddColumn(new TableColumn(column).RightAligned());
        }

        return table;
    }

    private static string Removed(long before, long after) =>
        before <= 0 ? "" : string.Create(CultureInfo.InvariantCulture, $"{(after - before) * 100.0 / before:+0.0;-0.0;0.0} %");

    private static string Mebibytes(long bytes) => Digits(bytes / MiB, "0.0");

    private static string Number(long value) => value.ToString("N0", CultureInfo.InvariantCulture);

    private static string Digits(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
