using System.Globalization;

namespace EdgeKV.Evaluation;

/// <summary>Which figures a report of a bench may hold: what is read is checked, so that nothing is compared with what nobody can have measured.</summary>
internal static class BenchFigures
{
    // Seconds, tokens per second and their quotients lie between these on every machine, and quotients of two of them are numbers.
    private const double Least = 1e-12;
    private const double Most = 1e12;

    // Quartiles are interpolated, and may miss their bounds by a rounding.
    private const double Rounding = 1e-9;

    /// <summary>What is wrong with a report, by the key of the JSON that has it; null: nothing.</summary>
    public static string? Wrong(BenchReport report) =>
        Options(report.Options)
        ?? report.Series.Select((series, i) => Wrong(series, Text($"series[{i}]"))).FirstOrDefault(wrong => wrong is not null)
        ?? Twice(report.Series.Select(series => (series.Depth, series.CacheType)), "series", "depth and cacheType");

    private static string? Options(BenchOptions options) => Counts(
        1,
        [
            ("options.prefills", options.Prefills), ("options.repeats", options.Repeats), ("options.decode", options.Decode), ("options.question", options.Question),
            .. options.Depths.Select(depth => ("options.depths", (long)depth)),
        ])
        ?? Counts(0, ("options.passes", options.Passes), ("options.warmUp", options.WarmUp), ("options.threads", options.Threads));

    private static string? Wrong(BenchSeries series, string key) =>
        Counts(1, ($"{key}.depth", series.Depth), ($"{key}.full.rows", series.Full.Rows), ($"{key}.full.rowBytes", series.Full.RowBytes), ($"{key}.full.bufferBytes", series.Full.BufferBytes))
        ?? Counts(0, ($"{key}.passTokens", series.PassTokens))
        ?? First(
            (key, "prefill", series.Prefill, Least),
            (key, "learnedPrefill", series.LearnedPrefill, Least),
            (key, "learnedSeconds", series.LearnedSeconds, -Most),
            (key, "learnedOverPrefill", series.LearnedOverPrefill, Least),
            (key, "passSeconds", series.PassSeconds, Least),
            (key, "scoreSeconds", series.ScoreSeconds, 0),
            ($"{key}.full", "firstToken", series.Full.FirstToken, Least),
            ($"{key}.full", "decode", series.Full.Decode, Least),
            ($"{key}.full", "emptyDecode", series.Full.EmptyDecode, Least))
        ?? series.Cells.Select((cell, i) => Wrong(cell, Text($"{key}.cells[{i}]"))).FirstOrDefault(wrong => wrong is not null)
        ?? Twice(series.Cells.Select(cell => cell.Ratio), $"{key}.cells", "ratio");

    private static string? Wrong(BenchCell cell, string key) =>
        (cell.Ratio is >= 0 and < 1 ? null : Text($"{key}.ratio is {cell.Ratio}; it is from 0 to below 1"))
        ?? (cell.RatioAchieved is >= 0 and <= 1 ? null : Text($"{key}.ratioAchieved is {cell.RatioAchieved}; it is from 0 to 1"))
        ?? Counts(1, ($"{key}.rows", cell.Rows), ($"{key}.rowBytes", cell.RowBytes), ($"{key}.bufferBytes", cell.BufferBytes))
        ?? Counts(0, ($"{key}.residentBefore", cell.ResidentBefore), ($"{key}.residentAfter", cell.ResidentAfter))
        ?? (cell.IdealByBytes is >= Least and <= Most ? null : Outside($"{key}.idealByBytes", cell.IdealByBytes, Least))
        ?? First(
            (key, "planSeconds", cell.PlanSeconds, 0),
            (key, "applySeconds", cell.ApplySeconds, Least),
            (key, "firstToken", cell.FirstToken, Least),
            (key, "firstTokenOverFull", cell.FirstTokenOverFull, Least),
            (key, "decode", cell.Decode, Least),
            (key, "speedUp", cell.SpeedUp, Least),
            (key, "idealByTime", cell.IdealByTime, Least),
            (key, "ofIdealByTime", cell.OfIdealByTime, Least),
            (key, "ofIdealByBytes", cell.OfIdealByBytes, Least));

    private static string? First(params (string Of, string Name, Measured? Value, double Least)[] figures) =>
        figures.Select(figure => Wrong(figure.Value, $"{figure.Of}.{figure.Name}", figure.Least)).FirstOrDefault(wrong => wrong is not null);

    private static string? Wrong(Measured? measured, string key, double least)
    {
        if (measured is null)
        {
            return null;
        }

        (string Name, double Value)[] ascending =
        [
            ("min", measured.Min), ("lowerQuartile", measured.LowerQuartile), ("median", measured.Median), ("upperQuartile", measured.UpperQuartile), ("max", measured.Max),
        ];
        if (Array.Find(ascending, figure => !(figure.Value >= least && figure.Value <= Most)) is { Name: { } name, Value: var value })
        {
            return Outside($"{key}.{name}", value, least);
        }

        for (int i = 1; i < ascending.Length; i++)
        {
            if (ascending[i].Value < ascending[i - 1].Value - (Rounding * Math.Abs(ascending[i - 1].Value)))
            {
                return Text($"{key}.{ascending[i].Name} is {ascending[i].Value}, and {ascending[i - 1].Name} is {ascending[i - 1].Value}, which is never more");
            }
        }

        return Counts(1, ($"{key}.count", measured.Count));
    }

    private static string? Counts(long least, params (string Key, long Value)[] counts) =>
        Array.Find(counts, count => count.Value < least) is { Key: { } key, Value: var value } ? Text($"{key} is {value}; it is at least {least}") : null;

    private static string? Twice<T>(IEnumerable<T> keys, string key, string what) =>
        keys.GroupBy(value => value).FirstOrDefault(group => group.Count() > 1) is { Key: var twice } ? Text($"{key} has the {what} {twice} twice") : null;

    private static string Outside(string key, double value, double least) => Text($"{key} is {value}, which nobody measures; it is from {least} to {Most}");

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
