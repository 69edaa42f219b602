using System.Globalization;

namespace EdgeKV.Evaluation;

/// <summary>Makes <see cref="NeedleMap"/>s of a table's cells.</summary>
internal static class NeedleMaps
{
    private const int MostDepths = 11;
    private const double Rounding = 1e-9;

    /// <summary>By policy and budget, the full cache first; none where no cell has a depth.</summary>
    public static IReadOnlyList<NeedleMap> Of(ScoreTable table)
    {
        bool inTenths = Enumerable.Range(0, table.Columns).SelectMany(table.CellsOf)
            .Select(cell => cell.Depth).OfType<double>().Select(Exact).Distinct().Count() > MostDepths;
        List<NeedleMap> maps = [];
        Add(CellResult.FullCache, EvalBudget.Full, ScoreTable.Full);
        for (int policy = 0; policy < table.Policies.Count; policy++)
        {
            for (int budget = 0; budget < table.Budgets.Count; budget++)
            {
                Add(table.Policies[policy], table.Budgets[budget], table.Column(policy, budget));
            }
        }

        return maps;

        void Add(string policy, EvalBudget budget, int column)
        {
            NeedleCell[] cells =
            [
                .. table.CellsOf(column)
                    .Where(cell => cell.Depth is not null && !double.IsNaN(cell.Score) && cell.Metric != MetricNames.Perplexity)
                    .GroupBy(cell => (cell.Length, Name: NameOf(cell), Depth: inTenths ? Tenth(cell.Depth!.Value) : Exact(cell.Depth!.Value)))
                    .OrderBy(group => group.Key.Length ?? int.MaxValue)
                    .ThenBy(group => group.Key.Name, StringComparer.Ordinal)
                    .ThenBy(group => group.Key.Depth)
                    .Select(group => new NeedleCell(group.Key.Name, group.Key.Depth, group.Average(cell => cell.Score), group.Count())),
            ];
            if (cells.Length > 0)
            {
                maps.Add(new NeedleMap { Policy = policy, Budget = budget, Cells = cells });
            }
        }
    }

    private static string NameOf(CellResult cell) => cell.Length?.ToString(CultureInfo.InvariantCulture) ?? cell.Dataset;

    private static double Exact(double depth) => Math.Round(depth, 6);

    // The last tenth holds its upper end too.
    private static double Tenth(double depth) => Math.Min(Math.Floor((depth * 10) + Rounding), 9) / 10;
}
