namespace EdgeKV.Evaluation;

/// <summary>A run's scores by task, column and sample; a column is the full cache, or a policy at a budget.</summary>
/// <remarks>
/// A later line of results replaces an earlier one of the same cell. Cells of a policy at ratio 0 are left out: nothing was removed, and that is
/// the full cache's column.
/// </remarks>
internal sealed class ScoreTable
{
    private readonly List<CellResult?[][]> _cells = [];

    private ScoreTable(IReadOnlyList<string> policies, IReadOnlyList<EvalBudget> budgets, IReadOnlyList<TaskName> tasks)
    {
        Policies = policies;
        Budgets = budgets;
        Tasks = tasks;
    }

    /// <summary>Policies but for the full cache, in the order given.</summary>
    public IReadOnlyList<string> Policies { get; }

    /// <summary>Budgets of all policies, least compression first.</summary>
    public IReadOnlyList<EvalBudget> Budgets { get; }

    /// <summary>Tasks in order of their first line.</summary>
    public IReadOnlyList<TaskName> Tasks { get; }

    /// <summary>1 for the full cache and one for each policy and budget.</summary>
    public int Columns => 1 + (Policies.Count * Budgets.Count);

    /// <summary>The full cache's column.</summary>
    public static int Full => 0;

    /// <param name="results">Lines of results in their order.</param>
    /// <param name="order">Policies to name first, in that order.</param>
    /// <exception cref="ReportException">A task has two metrics, or a line has neither ratio nor rows.</exception>
    public static ScoreTable From(IReadOnlyList<CellResult> results, IEnumerable<string> order)
    {
        string[] found = [.. results.Where(IsCompressed).Select(cell => cell.Policy).Distinct()];
        List<string> policies = [.. order.Where(found.Contains).Union(found)];
        List<EvalBudget> budgets = [.. results.Where(IsCompressed).Select(EvalBudget.Of).Distinct().Order()];
        if (budgets.Any(budget => budget is { Ratio: null, Rows: null }))
        {
            throw new ReportException("A result of a policy has neither ratio nor rows; every line but the full cache's has one of them. Take the line out, or run it again into an empty folder.");
        }

        List<TaskName> tasks = [.. results.Select(cell => new TaskName(cell.Dataset, cell.Task, cell.Metric)).Distinct()];
        foreach (IGrouping<(string, string), TaskName> task in tasks.GroupBy(task => (task.Dataset, task.Task)))
        {
            if (task.Count() > 1)
            {
                string metrics = string.Join(" and ", task.Select(t => t.Metric));
                throw new ReportException($"Task {task.First()} has results of two metrics, {metrics}, which have no mean. Run it again into an empty folder.");
            }
        }

        ScoreTable table = new(policies, budgets, tasks);
        foreach (TaskName task in tasks)
        {
            CellResult[] ofTask = [.. results.Where(cell => cell.Dataset == task.Dataset && cell.Task == task.Task)];
            Dictionary<string, int> samples = [];
            foreach (CellResult cell in ofTask)
            {
                samples.TryAdd(cell.Id, samples.Count);
            }

            CellResult?[][] cells = [.. Enumerable.Range(0, table.Columns).Select(_ => new CellResult?[samples.Count])];
            foreach (CellResult cell in ofTask.Where(cell => cell.Policy == CellResult.FullCache || IsCompressed(cell)))
            {
                int column = cell.Policy == CellResult.FullCache
                    ? Full
                    : table.Column(policies.IndexOf(cell.Policy), budgets.IndexOf(EvalBudget.Of(cell)));
                cells[column][samples[cell.Id]] = cell;
            }

            table._cells.Add(cells);
        }

        return table;

        static bool IsCompressed(CellResult cell) => cell.Policy != CellResult.FullCache && cell.Ratio != 0;
    }

    /// <summary>A policy's column at a budget.</summary>
    public int Column(int policy, int budget) => 1 + (policy * Budgets.Count) + budget;

    /// <summary>Samples of a task.</summary>
    public int Samples(int task) => _cells[task][Full].Length;

    /// <summary>The cells of a task's samples; null where a cell is not there.</summary>
    public IReadOnlyList<CellResult?> Cells(int task, int column) => _cells[task][column];

    /// <summary>A column's cells that are there, of all tasks.</summary>
    public IEnumerable<CellResult> CellsOf(int column) => _cells.SelectMany(task => task[column]).OfType<CellResult>();

    /// <summary>
    /// Scores of a task's samples, NaN where there is none; of a perplexity its logarithm, whose mean is that of the geometric mean.
    /// </summary>
    public double[] Scores(int task, int column) =>
    [
        .. _cells[task][column].Select(cell => cell is null ? double.NaN : Tasks[task].IsPerplexity ? Math.Log(cell.Score) : cell.Score),
    ];
}
