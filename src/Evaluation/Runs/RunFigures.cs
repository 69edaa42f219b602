using System.Globalization;

namespace EdgeKV.Evaluation;

/// <summary>Which figures a run may hold: what is read is checked, so that none without a meaning is reported.</summary>
internal static class RunFigures
{
    // Bounds beyond what any machine does, so that no sum or quotient of what is within them is infinite.
    private const double MostSeconds = 1e9;
    private const double MostTokensPerSecond = 1e9;
    private const long MostTokenBytes = 1L << 40;

    /// <summary>What is wrong with a line of results; null: nothing.</summary>
    public static string? Wrong(CellResult cell) =>
        Score(cell)
        ?? (cell.Ratio is { } ratio && !IsRatio(ratio) ? Text($"the ratio is {ratio}; it is from 0 to below 1") : null)
        ?? (cell.RatioAchieved is >= 0 and <= 1 ? null : Text($"the ratioAchieved is {cell.RatioAchieved}; it is from 0 to 1"))
        ?? (cell.Depth is null or (>= 0 and <= 1) ? null : Text($"the depth is {cell.Depth}; it is from 0 to 1"))
        ?? Least(
            1,
            ("rows", cell.Rows ?? 1),
            ("contextTokens", cell.ContextTokens),
            ("fullBytes", cell.FullBytes),
            ("length", cell.Length ?? 1))
        ?? (cell.FullBytes / MostTokenBytes >= cell.ContextTokens ? Text($"the fullBytes are {cell.FullBytes}, too many for {cell.ContextTokens} contextTokens") : null)
        ?? Least(
            0,
            ("bytes", cell.Bytes),
            ("peakPositions", cell.PeakPositions),
            ("answerTokens", cell.AnswerTokens),
            ("layerRows", cell.LayerRows.DefaultIfEmpty().Min()))
        ?? Seconds(
            ("prefillSeconds", cell.PrefillSeconds),
            ("scoreSeconds", cell.ScoreSeconds),
            ("planSeconds", cell.PlanSeconds),
            ("applySeconds", cell.ApplySeconds),
            ("questionSeconds", cell.QuestionSeconds),
            ("decodeSeconds", cell.DecodeSeconds))
        ?? (cell.DecodeSeconds > 0 && cell.AnswerTokens > cell.DecodeSeconds * MostTokensPerSecond
            ? Text($"the answerTokens are {cell.AnswerTokens}, too many for {cell.DecodeSeconds} decodeSeconds")
            : null);

    /// <summary>What is wrong with what a run asked for; null: nothing.</summary>
    public static string? Wrong(RunManifest manifest) =>
        Least(
            1,
            [
                ("layers", manifest.Layers),
                ("kvHeads", manifest.KvHeads),
                ("samples", manifest.Samples),
                .. manifest.Rows.Select(rows => ("rows", (long)rows)),
                .. (manifest.KvHeadsByLayer ?? []).Select(heads => ("kvHeadsByLayer", (long)heads)),
            ])
        ?? Least(0, ("threads", manifest.Threads))
        ?? (manifest.KvHeadsByLayer is { } heads && heads.Count != manifest.Layers ? Text($"the kvHeadsByLayer are {heads.Count}; there are {manifest.Layers} layers") : null)
        ?? (manifest.Policies.Contains(null!) || manifest.Datasets.Contains(null!) ? "a policy or a data set has no name" : null)
        ?? (manifest.Ratios.FirstOrDefault(ratio => !IsRatio(ratio)) is var wrong and not 0 ? Text($"a ratio is {wrong}; it is from 0 to below 1") : null);

    // NaN: the cell failed.
    private static string? Score(CellResult cell) => cell.Metric switch
    {
        _ when !MetricNames.All.Contains(cell.Metric) => $"there is no metric \"{cell.Metric}\", only {string.Join(", ", MetricNames.All)}",
        _ when double.IsNaN(cell.Score) => string.IsNullOrEmpty(cell.Error) ? "there is neither a score nor an error" : null,
        MetricNames.Perplexity => cell.Score >= 1 && double.IsFinite(cell.Score) ? null : Text($"the score is {cell.Score}; {cell.Metric} gives 1 and more"),
        _ => cell.Score is >= 0 and <= 1 ? null : Text($"the score is {cell.Score}; {cell.Metric} gives 0 to 1"),
    };

    private static bool IsRatio(double ratio) => ratio is >= 0 and < 1;

    private static string? Least(long least, params (string Name, long Value)[] counts) =>
        Array.Find(counts, count => count.Value < least) is { Name: { } name, Value: var value } ? Text($"the {name} are {value}; there is at least {least}") : null;

    private static string? Seconds(params (string Name, double Value)[] times) =>
        Array.Find(times, time => !(time.Value is >= 0 and <= MostSeconds)).Name is { } name ? $"the {name} are no number of seconds" : null;

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
