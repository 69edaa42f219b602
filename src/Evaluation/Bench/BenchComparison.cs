using System.Globalization;
using EdgeKV.Models;

namespace EdgeKV.Evaluation;

/// <summary>What became of a figure between two runs.</summary>
public enum BenchVerdict
{
    /// <summary>The spreads overlap, or the change is below <see cref="BenchComparison.LeastChange"/>.</summary>
    Same,

    /// <summary>Better by more than the spread.</summary>
    Better,

    /// <summary>Worse by more than the spread.</summary>
    Worse,

    /// <summary>One of the runs has too few measurements for a spread.</summary>
    Unknown,
}

/// <summary>One figure of two runs.</summary>
/// <param name="Depth">Tokens of the context.</param>
/// <param name="CacheType">Element type of the cache.</param>
/// <param name="Ratio">The share removed; null: a figure of the whole series.</param>
/// <param name="Figure">Its name, for people.</param>
/// <param name="IsRelative">Whether it is relative to a baseline of its own run, so that it can be compared between machines of different speed.</param>
/// <param name="Before">In the earlier run.</param>
/// <param name="After">In this one.</param>
/// <param name="Verdict">What became of it.</param>
public sealed record BenchChange(
    int Depth, KvCacheType CacheType, double? Ratio, string Figure, bool IsRelative, Measured Before, Measured After, BenchVerdict Verdict)
{
    /// <summary>After by before, less 1.</summary>
    public double Change => After.Median / Before.Median - 1;
}

/// <summary>Two runs of <c>bench</c> side by side.</summary>
/// <param name="Differences">What else differs between the runs, a line each: machine, model, versions, options.</param>
/// <param name="Changes">The figures that both have.</param>
/// <param name="OnlyBefore">Cells that the earlier run alone has, for people.</param>
/// <param name="OnlyAfter">Cells that this run alone has, for people.</param>
public sealed record BenchComparison(
    IReadOnlyList<string> Differences, IReadOnlyList<BenchChange> Changes, IReadOnlyList<string> OnlyBefore, IReadOnlyList<string> OnlyAfter)
{
    /// <summary>Smaller changes are never called one: a run whose rounds agree by chance has no spread to speak of.</summary>
    public const double LeastChange = 0.02;

    /// <summary>Compares a run with an earlier one.</summary>
    /// <param name="before">The earlier run.</param>
    /// <param name="after">This one.</param>
    public static BenchComparison Of(BenchReport before, BenchReport after)
    {
        ArgumentNullException.ThrowIfNull(before);
        ArgumentNullException.ThrowIfNull(after);
        List<BenchChange> changes = [];
        foreach (BenchSeries series in after.Series)
        {
            if (before.Series.FirstOrDefault(s => IsSame(s, series)) is { } earlier)
            {
                changes.AddRange(ChangesOf(earlier, series));
            }
        }

        string[] cellsBefore = Names(before);
        string[] cellsAfter = Names(after);
        return new BenchComparison([.. DifferencesOf(before, after)], changes, [.. cellsBefore.Except(cellsAfter)], [.. cellsAfter.Except(cellsBefore)]);
    }

    /// <summary>Whether two measurements of one figure differ by more than their spreads.</summary>
    /// <param name="before">The earlier one.</param>
    /// <param name="after">This one.</param>
    /// <param name="moreIsBetter">Speeds: true; times: false.</param>
    public static BenchVerdict Judge(Measured before, Measured after, bool moreIsBetter)
    {
        ArgumentNullException.ThrowIfNull(before);
        ArgumentNullException.ThrowIfNull(after);
        if (before.Spread is null || after.Spread is null)
        {
            return BenchVerdict.Unknown;
        }

        bool more = after.LowerQuartile > before.UpperQuartile;
        bool less = after.UpperQuartile < before.LowerQuartile;
        return Math.Abs(after.Median / before.Median - 1) < LeastChange || (!more && !less) ? BenchVerdict.Same
            : more == moreIsBetter ? BenchVerdict.Better
            : BenchVerdict.Worse;
    }

    private static bool IsSame(BenchSeries one, BenchSeries other) => one.Depth == other.Depth && one.CacheType == other.CacheType;

    private static string[] Names(BenchReport report) => [.. report.Series.SelectMany(
        series => series.Cells.Select(cell => string.Create(
            CultureInfo.InvariantCulture, $"{series.Depth} tokens, {series.CacheType.ToString().ToLowerInvariant()}, ratio {cell.Ratio}")))];

    private static IEnumerable<BenchChange> ChangesOf(BenchSeries before, BenchSeries after)
    {
        BenchChange Of(double? ratio, string figure, bool relative, bool moreIsBetter, Measured one, Measured other) =>
            new(after.Depth, after.CacheType, ratio, figure, relative, one, other, Judge(one, other, moreIsBetter));

        yield return Of(null, "prefill, tokens/s", false, true, before.Prefill, after.Prefill);
        if (before.LearnedOverPrefill is { } learnedBefore && after.LearnedOverPrefill is { } learnedAfter)
        {
            yield return Of(null, "learned prefill by prefill", true, false, learnedBefore, learnedAfter);
        }

        if (before.PassSeconds is { } passBefore && after.PassSeconds is { } passAfter)
        {
            yield return Of(null, "repeat pass, s", false, false, passBefore, passAfter);
        }

        yield return Of(null, "full cache, tokens/s", false, true, before.Full.Decode, after.Full.Decode);
        yield return Of(null, "full cache, s to first token", false, false, before.Full.FirstToken, after.Full.FirstToken);
        foreach (BenchCell cell in after.Cells)
        {
            if (before.Cells.FirstOrDefault(c => c.Ratio == cell.Ratio) is not { } earlier)
            {
                continue;
            }

            yield return Of(cell.Ratio, "speed-up", true, true, earlier.SpeedUp, cell.SpeedUp);
            yield return Of(cell.Ratio, "first token by full cache's", true, false, earlier.FirstTokenOverFull, cell.FirstTokenOverFull);
            yield return Of(cell.Ratio, "tokens/s", false, true, earlier.Decode, cell.Decode);
            yield return Of(cell.Ratio, "s to first token", false, false, earlier.FirstToken, cell.FirstToken);
            yield return Of(cell.Ratio, "applying, s", false, false, earlier.ApplySeconds, cell.ApplySeconds);
        }
    }

    private static IEnumerable<string> DifferencesOf(BenchReport before, BenchReport after)
    {
        (string What, string Before, string After)[] all =
        [
            ("machine", before.Machine.ToString(), after.Machine.ToString()),
            ("model", $"{before.Model.File} ({Short(before.Model.Sha256)})", $"{after.Model.File} ({Short(after.Model.Sha256)})"),
            ("profile", Short(before.ProfileSha256), Short(after.ProfileSha256)),
            ("EdgeKV", before.EdgeKV, after.EdgeKV),
            ("llama.cpp", before.LlamaCpp, after.LlamaCpp),
            ("policy", before.Options.Policy, after.Options.Policy),
            ("scores", before.Scores, after.Scores),
            ("threads", Number(before.Options.Threads), Number(after.Options.Threads)),
            ("tokens of a turn", Number(before.Options.Decode), Number(after.Options.Decode)),
            ("tokens of the question", Number(before.Options.Question), Number(after.Options.Question)),
            ("text", $"{before.Text} ({Short(before.TextSha256)})", $"{after.Text} ({Short(after.TextSha256)})"),
        ];
        foreach ((string what, string one, string other) in all)
        {
            if (one != other)
            {
                yield return $"{what}: {one} before, {other} now";
            }
        }

        static string Short(string? hash) => hash is null ? "none" : hash[..Math.Min(12, hash.Length)];
        static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);
    }
}
