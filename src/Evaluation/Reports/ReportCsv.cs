using System.Globalization;
using System.Text;
using EdgeKV.Files;

namespace EdgeKV.Evaluation;

/// <summary>A run's figures as CSV (RFC 4180): one fact a line, figures in full, nothing where there is none.</summary>
/// <remarks>
/// Names come from the data. Their control characters are written as escapes, and an apostrophe goes before a name that a spreadsheet would take for a formula. Figures stay
/// figures.
/// </remarks>
internal static class ReportCsv
{
    /// <summary>The first lines of all tables that there can be, by name.</summary>
    public static IReadOnlyDictionary<string, string> Heads { get; } = new Dictionary<string, string>
    {
        ["policies"] = "policy,auc,auc_low,auc_high,auc_name,max_compression_0.05,max_compression_0.1,max_compression_0.2,"
            + "prefill_s,score_s,plan_s,apply_s,question_s,first_token_s,peak_positions",
        ["accuracy"] = "policy,ratio,rows,ratio_achieved,samples,failed,accuracy,accuracy_low,accuracy_high,relative,relative_low,relative_high,"
            + "full_bytes,bytes,tokens_per_s",
        ["tasks"] = "dataset,task,metric,policy,ratio,rows,score,score_low,score_high",
        ["layers"] = "policy,ratio,rows,layer,share_kept",
        ["paired"] = "policy,baseline,samples,measure,ratio,rows,difference,difference_low,difference_high,wins,ties,losses",
        ["needles"] = "policy,ratio,rows,length,depth,score,samples",
    };

    /// <summary>The tables of a run by name.</summary>
    public static IEnumerable<(string Name, string Text)> Of(RunStatistics run)
    {
        yield return Table(
            "policies",
            ReportTables.WithFull(run).Select(IEnumerable<object?> (policy) =>
            [
                policy.Policy, policy.Auc?.Value, policy.Auc?.Low, policy.Auc?.High, policy.Auc is null ? null : run.Curve?.AucName,
                .. CompressionCurve.Tolerances.Select((_, i) => policy.MaximumCompression.Count > i ? policy.MaximumCompression[i] : (object?)null),
                policy.Stages.Prefill, policy.Stages.Score, policy.Stages.Plan, policy.Stages.Apply, policy.Stages.Question,
                policy.Stages.FirstToken, policy.PeakPositions,
            ]));
        yield return Table(
            "accuracy",
            Budgets(run).Select(IEnumerable<object?> (cell) =>
            [
                cell.Policy, cell.Budget.Budget.Ratio, cell.Budget.Budget.Rows, cell.Budget.RatioAchieved, cell.Budget.Samples, cell.Budget.Failed,
                cell.Budget.Accuracy?.Value, cell.Budget.Accuracy?.Low, cell.Budget.Accuracy?.High,
                cell.Budget.Relative?.Value, cell.Budget.Relative?.Low, cell.Budget.Relative?.High,
                cell.Budget.FullBytes, cell.Budget.Bytes, cell.Budget.TokensPerSecond,
            ]));
        yield return Table(
            "tasks",
            Budgets(run).SelectMany(cell => run.Tasks.Select(IEnumerable<object?> (task, i) =>
            [
                task.Dataset, task.Task, task.Metric, cell.Policy, cell.Budget.Budget.Ratio, cell.Budget.Budget.Rows,
                cell.Budget.Tasks[i]?.Value, cell.Budget.Tasks[i]?.Low, cell.Budget.Tasks[i]?.High,
            ])));
        yield return Table(
            "layers",
            Budgets(run).SelectMany(cell => cell.Budget.LayerShares.Select(IEnumerable<object?> (share, layer) =>
                [cell.Policy, cell.Budget.Budget.Ratio, cell.Budget.Budget.Rows, layer, share])));
        if (run.Comparisons.Count > 0)
        {
            yield return Table(
                "paired",
                Pairs(run).Select(IEnumerable<object?> (pair) =>
                [
                    pair.Of.Policy, pair.Of.Baseline, pair.Of.Samples, pair.At.Budget is null ? "auc" : "accuracy", pair.At.Budget?.Ratio, pair.At.Budget?.Rows,
                    pair.At.Difference.Value, pair.At.Difference.Low, pair.At.Difference.High, pair.At.Wins, pair.At.Ties, pair.At.Losses,
                ]));
        }

        if (run.Needles.Count > 0)
        {
            yield return Table(
                "needles",
                run.Needles.SelectMany(map => map.Cells.Select(IEnumerable<object?> (cell) =>
                    [map.Policy, map.Budget.Ratio, map.Budget.Rows, cell.Length, cell.Depth, cell.Score, cell.Samples])));
        }
    }

    private static IEnumerable<(string Policy, BudgetStatistics Budget)> Budgets(RunStatistics run) =>
        (run.Full is null ? run.Policies : run.Policies.Prepend(run.Full))
            .SelectMany(policy => policy.Budgets.OfType<BudgetStatistics>().Select(budget => (policy.Policy, budget)));

    private static IEnumerable<(PairedComparison Of, PairedDifference At)> Pairs(RunStatistics run) =>
        run.Comparisons.SelectMany(comparison => comparison.Budgets.Append(comparison.Auc).OfType<PairedDifference>().Select(difference => (comparison, difference)));

    private static (string Name, string Text) Table(string name, IEnumerable<IEnumerable<object?>> rows)
    {
        StringBuilder text = new(Heads[name] + "\r\n");
        foreach (IEnumerable<object?> row in rows)
        {
            text.AppendJoin(',', row.Select(Field)).Append("\r\n");
        }

        return (name, text.ToString());
    }

    private static string Field(object? value)
    {
        string text = value switch
        {
            double number when !double.IsFinite(number) => "",
            string name => Shown(name),
            _ => Convert.ToString(value, CultureInfo.InvariantCulture) ?? "",
        };
        return text.AsSpan().IndexOfAny(",\"\r\n") < 0 ? text : $"\"{text.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";
    }

    // What OWASP says of cells that begin a formula. Spreadsheets pass over blanks before it.
    private static string Shown(string name)
    {
        string shown = PlainText.Escaped(name);
        return shown.TrimStart() is ['=' or '+' or '-' or '@' or '＝' or '＋' or '－' or '＠', ..] ? $"'{shown}" : shown;
    }
}
