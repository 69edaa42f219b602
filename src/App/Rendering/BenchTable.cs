using System.Globalization;
using EdgeKV.Evaluation;
using EdgeKV.Models;
using Spectre.Console;

namespace EdgeKV.Cli.Rendering;

/// <summary>What <c>bench</c> prints: a table of reading and one of decoding for each depth and cache type, and what has changed.</summary>
internal static class BenchTable
{
    private const double MiB = 1024 * 1024;

    public static void Write(IAnsiConsole console, BenchReport report)
    {
        console.WriteLine();
        TextWriter writer = console.Profile.Out.Writer;
        string load = report.Load is { } programs ? $", load {Digits(programs, "0.0")} at the start" : "";
        writer.WriteLine($"{report.Model.Description} ({report.Model.File}), EdgeKV {report.EdgeKV}, llama.cpp {report.LlamaCpp}");
        writer.WriteLine($"{report.Machine}{load}; {Number(report.Options.Prefills)} prefills, {Number(report.Options.Repeats)} rounds of {Number(report.Options.Decode)} tokens");
        writer.WriteLine($"Policy {report.Options.Policy}, scores: {report.Scores}; medians, quartiles in brackets");
        foreach (BenchSeries series in report.Series)
        {
            writer.WriteLine();
            writer.WriteLine($"{Number(series.Depth)} tokens, {Name(series.CacheType)}: {Reading(series)}");
            console.Write(FirstTokens(series));
            console.Write(Decoding(series));
        }

        writer.WriteLine("KV MiB: kept rows. RSS MiB: what dropping the others changed. ideal: the speed-up that bytes alone would give, by the clock and by the bytes of weights and rows; %: the measured one by it.");
    }

    public static void Write(IAnsiConsole console, BenchComparison comparison, string against)
    {
        console.WriteLine();
        TextWriter writer = console.Profile.Out.Writer;
        writer.WriteLine($"Against {against}");
        foreach (string difference in comparison.Differences)
        {
            writer.WriteLine($"  differs: {difference}");
        }

        BenchChange[] changed = [.. comparison.Changes.Where(change => change.Verdict is BenchVerdict.Better or BenchVerdict.Worse)];
        int same = comparison.Changes.Count(change => change.Verdict == BenchVerdict.Same);
        int unknown = comparison.Changes.Count(change => change.Verdict == BenchVerdict.Unknown);
        if (changed.Length > 0)
        {
            console.Write(Changed(changed));
        }

        writer.WriteLine(
            $"{Number(changed.Length)} figures changed beyond the spread, {Number(same)} did not"
            + (unknown > 0 ? $", {Number(unknown)} were measured fewer than {Measured.LeastForSpread} times." : "."));
        WriteMissing(writer, "The earlier run alone has", comparison.OnlyBefore);
        WriteMissing(writer, "This run alone has", comparison.OnlyAfter);
    }

    private static void WriteMissing(TextWriter writer, string who, IReadOnlyList<string> cells)
    {
        if (cells.Count > 0)
        {
            writer.WriteLine($"{who}: {string.Join("; ", cells)}.");
        }
    }

    private static string Reading(BenchSeries series)
    {
        List<string> parts = [$"prefill {Digits(series.Prefill.Median, "0.0")} t/s"];
        if (series.LearnedPrefill is { } learned)
        {
            string percent = Signed((series.LearnedOverPrefill!.Median - 1) * 100, "0.0");
            parts.Add($"with learned scores {Digits(learned.Median, "0.0")} t/s ({Signed(series.LearnedSeconds!.Median, "0.00")} s, {percent} %)");
        }

        if (series.PassSeconds is { } pass)
        {
            parts.Add($"repeat pass {Seconds(pass.Median)} s");
        }

        return string.Join(", ", parts);
    }

    private static Table FirstTokens(BenchSeries series)
    {
        Table table = Plain("to the first token", "scoring s", "planning s", "applying s", "first token s", "by full");
        table.AddRow("full cache", "", "", "", Spread(series.Full.FirstToken, Seconds), "");
        foreach (BenchCell cell in series.Cells)
        {
            table.AddRow(
                Ratio(cell.Ratio),
                Seconds(series.ScoreSeconds.Median),
                Seconds(cell.PlanSeconds.Median),
                Seconds(cell.ApplySeconds.Median),
                Spread(cell.FirstToken, Seconds),
                Digits(cell.FirstTokenOverFull.Median, "0.00"));
        }

        return table;
    }

    private static Table Decoding(BenchSeries series)
    {
        Table table = Plain("decoding", "KV MiB", "RSS MiB", "tokens/s", "speed-up", "ideal", "%", "bytes", "%");
        table.AddRow("empty cache", "", "", Spread(series.Full.EmptyDecode, Speed), "", "", "", "", "");
        table.AddRow("full cache", Mebibytes(series.Full.RowBytes), "", Spread(series.Full.Decode, Speed), "", "", "", "", "");
        foreach (BenchCell cell in series.Cells)
        {
            table.AddRow(
                Ratio(cell.Ratio),
                Mebibytes(cell.RowBytes),
                Signed((cell.ResidentAfter - cell.ResidentBefore) / MiB, "0.0"),
                Spread(cell.Decode, Speed),
                Spread(cell.SpeedUp, value => Digits(value, "0.00")),
                Digits(cell.IdealByTime.Median, "0.00"),
                Digits(cell.OfIdealByTime.Median * 100, "0"),
                Digits(cell.IdealByBytes, "0.00"),
                Digits(cell.OfIdealByBytes.Median * 100, "0"));
        }

        return table;
    }

    private static Table Changed(IEnumerable<BenchChange> changes)
    {
        Table table = Plain("changed", "tokens", "type", "ratio", "before", "now", "change", "");
        foreach (BenchChange change in changes.OrderByDescending(change => change.IsRelative))
        {
            table.AddRow(
                change.IsRelative ? $"{change.Figure} *" : change.Figure,
                Number(change.Depth),
                Name(change.CacheType),
                change.Ratio is { } ratio ? Ratio(ratio) : "",
                Figure(change.Before.Median),
                Figure(change.After.Median),
                $"{Signed(change.Change * 100, "0.0")} %",
                change.Verdict == BenchVerdict.Better ? "better" : "worse");
        }

        return table.Caption("* relative to the full cache, or the plain prefill, of the same run");
    }

    private static Table Plain(string first, params string[] columns)
    {
        Table table = new Table().Border(TableBorder.Simple).AddColumn(new TableColumn(first).NoWrap());
        foreach (string column in columns)
        {
            table.AddColumn(new TableColumn(column).RightAligned().NoWrap());
        }

        return table;
    }

    private static string Spread(Measured value, Func<double, string> format) => Markup.Escape(
        value.Spread is null ? format(value.Median) : $"{format(value.Median)} [{format(value.LowerQuartile)}-{format(value.UpperQuartile)}]");

    private static string Name(KvCacheType type) => type.ToString().ToLowerInvariant();

    private static string Ratio(double ratio) => ratio.ToString(CultureInfo.InvariantCulture);

    private static string Mebibytes(long bytes) => Digits(bytes / MiB, "0.0");

    private static string Speed(double value) => Digits(value, value >= 100 ? "0" : "0.0");

    private static string Seconds(double value) => Digits(value, value >= 10 ? "0.0" : value >= 0.1 ? "0.00" : "0.0000");

    private static string Figure(double value) => Digits(value, value >= 100 ? "0.0" : value >= 0.1 ? "0.00" : "0.0000");

    private static string Signed(double value, string format) => value.ToString($"+{format};-{format};{format}", CultureInfo.InvariantCulture);

    private static string Number(int value) => value.ToString("N0", CultureInfo.InvariantCulture);

    private static string Digits(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
