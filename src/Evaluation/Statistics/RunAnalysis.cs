namespace EdgeKV.Evaluation;

/// <summary>Works out <see cref="RunStatistics"/> from a table of scores.</summary>
internal sealed class RunAnalysis
{
    private readonly RunManifest _manifest;
    private readonly ScoreTable _table;
    private readonly Bootstrap _bootstrap;
    private readonly CompressionCurve? _curve;
    private readonly double[] _full;
    private readonly bool[] _isRelative;
    private readonly Estimate?[][] _tasks;
    private readonly MeanOverTasks[] _accuracy;
    private readonly MeanOverTasks[] _relative;

    public RunAnalysis(RunManifest manifest, ScoreTable table, Bootstrap bootstrap)
    {
        _manifest = manifest;
        _table = table;
        _bootstrap = bootstrap;
        _curve = CompressionCurve.Of(table.Budgets);
        _full = [.. table.Tasks.Select((_, task) => Mean(table.Scores(task, ScoreTable.Full)))];
        _isRelative = [.. table.Tasks.Select((task, t) => !task.IsPerplexity && _full[t] > 0)];
        _tasks = [.. Enumerable.Range(0, table.Columns).Select(_ => new Estimate?[table.Tasks.Count])];
        _accuracy = [.. _tasks.Select(_ => new MeanOverTasks(bootstrap.Resamples))];
        _relative = [.. _tasks.Select(_ => new MeanOverTasks(bootstrap.Resamples))];
    }

    public RunStatistics Analyse(string baseline)
    {
        for (int task = 0; task < _table.Tasks.Count; task++)
        {
            AddTask(task);
        }

        IEnumerable<int> columns = Enumerable.Range(0, _table.Columns).Where(column => _table.CellsOf(column).Any());
        return new RunStatistics
        {
            Manifest = _manifest,
            Budgets = _table.Budgets,
            Curve = _curve,
            Tasks = _table.Tasks,
            LeftOut = [.. _table.Tasks.Where((task, t) => !task.IsPerplexity && _full[t] == 0)],
            Samples = Enumerable.Range(0, _table.Tasks.Count).Sum(_table.Samples),
            Missing = columns.Sum(column => Enumerable.Range(0, _table.Tasks.Count).Sum(task => _table.Cells(task, column).Count(cell => cell is null))),
            Full = _table.CellsOf(ScoreTable.Full).Any() ? Costs(CellResult.FullCache, [ScoreTable.Full], [Budget(ScoreTable.Full, EvalBudget.Full)]) : null,
            Policies = [.. _table.Policies.Select((_, policy) => Policy(policy))],
            Comparisons = new PairedAnalysis(_table, _curve, _isRelative, _bootstrap).Against(baseline),
            Needles = NeedleMaps.Of(_table),
            Bootstrap = _bootstrap,
        };
    }

    private void AddTask(int task)
    {
        bool isPerplexity = _table.Tasks[task].IsPerplexity;
        int[] draws = _bootstrap.Draw(_table.Samples(task), task);
        double[] means = new double[_bootstrap.Resamples];
        for (int column = 0; column < _table.Columns; column++)
        {
            double[] scores = _table.Scores(task, column);
            double mean = Mean(scores);
            Bootstrap.Means(scores, draws, means);
            if (!double.IsNaN(mean))
            {
                Estimate estimate = _bootstrap.Around(mean, means);
                _tasks[column][task] = isPerplexity
                    ? new Estimate(Math.Exp(estimate.Value), Math.Exp(estimate.Low), Math.Exp(estimate.High))
                    : estimate;
            }

            // A task without a score makes the mean over tasks NaN: means over other tasks compare with nothing.
            if (!isPerplexity)
            {
                _accuracy[column].Add(mean, means);
            }

            if (_isRelative[task])
            {
                _relative[column].Add(mean, means);
            }
        }
    }

    private PolicyStatistics Policy(int policy)
    {
        int[] columns = [.. Enumerable.Range(0, _table.Budgets.Count).Select(budget => _table.Column(policy, budget))];
        PolicyStatistics statistics = Costs(_table.Policies[policy], columns, [.. columns.Select((column, budget) => Budget(column, _table.Budgets[budget]))]);
        if (_curve is null)
        {
            return statistics;
        }

        int[] points =
        [
            ScoreTable.Full,
            .. _curve.Ratios.Skip(1).Select(ratio => columns[Enumerable.Range(0, columns.Length).First(budget => _table.Budgets[budget].IsRatio(ratio))]),
        ];
        double[] relative = [.. points.Select(column => _relative[column].Mean / _relative[ScoreTable.Full].Mean)];
        if (relative.Any(double.IsNaN))
        {
            return statistics;
        }

        double[] areas = new double[_bootstrap.Resamples];
        for (int draw = 0; draw < areas.Length; draw++)
        {
            areas[draw] = _curve.Auc([.. points.Select(column => Relative(column, draw))]);
        }

        return statistics with
        {
            Auc = _bootstrap.Around(_curve.Auc(relative), areas),
            MaximumCompression = [.. CompressionCurve.Tolerances.Select(tolerance => _curve.MaximumCompression(relative, tolerance))],
        };
    }

    private PolicyStatistics Costs(string policy, int[] columns, BudgetStatistics?[] budgets)
    {
        CellResult[] all = [.. columns.SelectMany(_table.CellsOf)];
        CellResult[] cells = [.. all.Where(HasScore)];
        return new PolicyStatistics
        {
            Policy = policy,
            Budgets = budgets,
            FirstFailed = Array.Find(all, cell => !HasScore(cell)),
            Auc = null,
            MaximumCompression = [],
            Stages = new StageSeconds(
                Average(cells, cell => cell.PrefillSeconds),
                Average(cells, cell => cell.ScoreSeconds),
                Average(cells, cell => cell.PlanSeconds),
                Average(cells, cell => cell.ApplySeconds),
                Average(cells, cell => cell.QuestionSeconds)),
            PeakPositions = cells.Select(cell => cell.PeakPositions).DefaultIfEmpty().Max(),
        };
    }

    private BudgetStatistics? Budget(int column, EvalBudget budget)
    {
        CellResult[] all = [.. _table.CellsOf(column)];
        if (all.Length == 0)
        {
            return null;
        }

        CellResult[] cells = [.. all.Where(HasScore)];
        CellResult[] decoded = [.. cells.Where(cell => cell is { AnswerTokens: > 0, DecodeSeconds: > 0 })];
        CellResult[] layered = [.. cells.Where(cell => cell.LayerRows.Count > 0)];
        double relative = _relative[column].Mean / _relative[ScoreTable.Full].Mean;
        return new BudgetStatistics
        {
            Budget = budget,
            Samples = cells.Length,
            Failed = all.Length - cells.Length,
            Accuracy = double.IsNaN(_accuracy[column].Mean) ? null : _bootstrap.Around(_accuracy[column].Mean, _accuracy[column].ToArray()),
            Relative = double.IsNaN(relative)
                ? null
                : _bootstrap.Around(relative, [.. Enumerable.Range(0, _bootstrap.Resamples).Select(draw => Relative(column, draw))]),
            Tasks = _tasks[column],
            RatioAchieved = Average(cells, cell => cell.RatioAchieved),
            FullBytes = Average(cells, cell => cell.FullBytes),
            Bytes = Average(cells, cell => cell.Bytes),
            LayerShares = layered.Length == 0
                ? []
                : [.. Enumerable.Range(0, _manifest.Layers).Select(layer => layered.Average(cell => Share(cell, layer)))],
            TokensPerSecond = decoded.Length == 0 ? null : decoded.Sum(cell => (double)cell.AnswerTokens) / decoded.Sum(cell => cell.DecodeSeconds),
        };
    }

    private double Share(CellResult cell, int layer) => cell.LayerRows.Count == _manifest.Layers
        ? cell.LayerRows[layer] / ((double)(_manifest.KvHeadsByLayer?[layer] ?? _manifest.KvHeads) * cell.ContextTokens)
        : throw new ReportException(
            $"A result of {cell.Dataset} {cell.Task} {cell.Id} has rows of {cell.LayerRows.Count} layers, run.json says {_manifest.Layers}. "
            + "Run it again into an empty folder.");

    // A draw in which the full cache answers nothing says nothing about a share of its accuracy.
    private double Relative(int column, int draw)
    {
        double full = _relative[ScoreTable.Full][draw];
        return full > 0 ? _relative[column][draw] / full : double.NaN;
    }

    private static bool HasScore(CellResult cell) => !double.IsNaN(cell.Score);

    private static double Mean(double[] scores) => scores.Where(score => !double.IsNaN(score)).DefaultIfEmpty(double.NaN).Average();

    private static double Average(CellResult[] cells, Func<CellResult, double> value) => cells.Select(value).DefaultIfEmpty().Average();
}
