using System.Text.Json;
using System.Text.Json.Serialization;

namespace EdgeKV.Evaluation;

/// <summary>What the report's script draws: figures only, worked out here.</summary>
internal sealed record ReportData
{
    public required bool ByRows { get; init; }

    public required IReadOnlyList<double> Budgets { get; init; }

    public required IReadOnlyList<string> BudgetNames { get; init; }

    public required IReadOnlyList<TaskData> Tasks { get; init; }

    public required SeriesData? Full { get; init; }

    public required IReadOnlyList<SeriesData> Policies { get; init; }

    public required IReadOnlyList<NeedleData> Needles { get; init; }

    public static ReportData Of(RunStatistics run)
    {
        string[] order = [.. ReportTables.Ordered(run).Select(policy => policy.Policy)];
        return new ReportData
        {
            ByRows = run.Budgets.Any(budget => budget.Rows is not null),
            Budgets = [.. run.Budgets.Select(budget => budget.Ratio ?? budget.Rows!.Value)],
            BudgetNames = [.. run.Budgets.Select(budget => budget.ToString())],
            Tasks = [.. run.Tasks.Select(task => new TaskData(task.ToString(), task.IsPerplexity))],
            Full = run.Full is { } full ? SeriesData.Of(full, 0) : null,
            Policies = [.. run.Policies.Select(policy => SeriesData.Of(policy, Array.IndexOf(order, policy.Policy)))],
            Needles =
            [
                .. run.Needles.Select(map => new NeedleData(
                    map.Policy,
                    map.Policy == CellResult.FullCache ? null : map.Budget.ToString(),
                    [.. map.Cells.Select(cell => new NeedleCellData(cell.Length, cell.Depth, cell.Score, cell.Samples))])),
            ],
        };
    }

    // The default encoder writes '<' as an escape, so that no name can end the script element.
    public string ToJson() => JsonSerializer.Serialize(this, ReportDataContext.Default.ReportData);
}

internal sealed record TaskData(string Name, bool Perplexity);

/// <summary>A policy's figures by budget, null where there is none, and its place by area, 0 the largest.</summary>
internal sealed record SeriesData(
    string Name,
    int Rank,
    IReadOnlyList<double[]?> Accuracy,
    IReadOnlyList<double?[]> Tasks,
    IReadOnlyList<double?> Bytes,
    IReadOnlyList<double?> Speed,
    IReadOnlyList<IReadOnlyList<double>?> Layers,
    double[] Stages)
{
    public static SeriesData Of(PolicyStatistics policy, int rank)
    {
        BudgetStatistics?[] budgets = [.. policy.Budgets.Select(budget => budget is { Samples: > 0 } ? budget : null)];
        return new SeriesData(
            policy.Policy,
            rank,
            [.. budgets.Select(budget => budget?.Accuracy is { } a ? new[] { Round(a.Value), Round(a.Low), Round(a.High) } : null)],
            [.. budgets.Select(budget => budget is null ? [] : budget.Tasks.Select(task => task is { } t ? Round(t.Value) : (double?)null).ToArray())],
            [.. budgets.Select(budget => budget?.Bytes)],
            [.. budgets.Select(budget => budget?.TokensPerSecond is { } speed ? Round(speed) : (double?)null)],
            [.. budgets.Select(IReadOnlyList<double>? (budget) => budget is null ? null : [.. budget.LayerShares.Select(Round)])],
            [policy.Stages.Prefill, policy.Stages.Score, policy.Stages.Plan, policy.Stages.Apply, policy.Stages.Question]);
    }

    // No chart shows more.
    private static double Round(double value) => Math.Round(value, 4);
}

internal sealed record NeedleData(string Policy, string? Budget, IReadOnlyList<NeedleCellData> Cells);

internal sealed record NeedleCellData(string Length, double Depth, double Score, int Samples);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(ReportData))]
internal sealed partial class ReportDataContext : JsonSerializerContext;
