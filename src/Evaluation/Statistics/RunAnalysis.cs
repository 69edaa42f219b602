using System.Globalization;

namespace EdgeKV.Evaluation;

/// <summary>Works out <see cref="RunStatistics"/> from a table of scores.</summary>
internal sealed class RunAnalysis
{
    private const double Same = 1e-9;
    private const int MostDepths = 11;

    private readonly RunManifest _manifest;
    private readonly ScoreTable _table;
    private readonly Bootstrap _bootstrap;
    private readonly CompressionCurve? _curve;
    private readonly double[][][] _scores;
    private readonly bool[] _isAccuracy;
    private readonly bool[] _isRelative;

    public RunAnalysis(RunManifest manifest, ScoreTable table, Bootstrap bootstrap)
    {
        _manifest = manifest;
        _table = table;
        _bootstrap = bootstrap;
        _curve = CompressionCurve.Of(table.Budgets);
        _scores = [.. Enumerable.Range(0, table.Tasks.Count).Select(task => Enumerable.Range(0, table.Columns).Select(column => table.Scores(task, column)).ToArray())];
        _isAccuracy = [.. table.Tasks.Select(task => !task.IsPerplexity)];
        _isRelative = [.. table.Tasks.Select((task, t) => !task.IsPerplexity && Mean(_scores[t][ScoreTable.Full]) > 0)];
    }

    public RunStatistics Analyse(string baseline)
    {
        Draws draws = DrawAll();
        PolicyStatistics? full = _table.CellsOf(ScoreTable.Full).Any() ? Policy(CellResult.FullCache, [ScoreTable.Full], draws) : null;
        PolicyStatistics[] policies =
        [
            .. _table.Policies.Select((policy, p) => Policy(policy, [.. Enumerable.Range(0, _table.Budgets.Count).Select(b => _table.Column(p, b))], draws)),
        ];
        return new RunStatistics
        {
            Manifest = _manifest,
            Budgets = _table.Budgets,
            Curve = _curve,
            Tasks = _table.Tasks,
            LeftOut = [.. _table.Tasks.Where((task, t) => _isAccuracy[t] && Mean(_scores[t][ScoreTable.Full]) == 0)],
            Samples = Enumerable.Range(0, _table.Tasks.Count).Sum(_table.Samples),
            Missing = Enumerable.Range(0, _table.Columns).Where(column => _table.CellsOf(column).Any())
                .Sum(column => Enumerable.Range(0, _table.Tasks.Count).Sum(task => _table.Cells(task, column).Count(cell => cell is null))),
            Full = full,
            Policies = policies,
            Comparisons = Compare(baseline),
            Needles = Needles(),
            Bootstrap = _bootstrap,
        };
    }

    // ---------------------------------------------------------------------------------------------------- accuracy

    private Draws DrawAll()
    {
        int resamples = _bootstrap.Resamples;
        Draws draws = new(_table.Columns, _table.Tasks.Count, resamples);
        double[] means = new double[resamples];
        for (int task = 0; task < _table.Tasks.Count; task++)
        {
            int[] counts = _bootstrap.Draw(_table.Samples(task), task);
            for (int column = 0; column < _table.Columns; column++)
            {
                double mean = Mean(_scores[task][column]);
                Bootstrap.Means(_scores[task][column], counts, means);
                if (!double.IsNaN(mean))
                {
                    Estimate estimate = _bootstrap.Around(mean, means);
                    draws.Tasks[column][task] = _isAccuracy[task]
                        ? estimate
                        : new Estimate(Math.Exp(estimate.Value), Math.Exp(estimate.Low), Math.Exp(estimate.High));
                }

                if (_isAccuracy[task])
                {
                    draws.Accuracy[column].Add(mean, means);
                }

                if (_isRelative[task])
                {
                    draws.Relative[column].Add(mean, means);
                }
            }
        }

        return draws;
    }

    private PolicyStatistics Policy(string policy, int[] columns, Draws draws)
    {
        BudgetStatistics?[] budgets = [.. columns.Select((column, b) => Budget(column, column == ScoreTable.Full ? new CellBudget(0, null) : _table.Budgets[b], draws))];
        Estimate? auc = null;
        double[] compression = [];
        if (_curve is not null && policy != CellResult.FullCache && CurveColumns(policy) is { } points && _isRelative.Contains(true)
            && points.All(column => !double.IsNaN(draws.Relative[column].Mean)))
        {
            double[] relative = [.. points.Select(column => draws.Relative[column].Mean / draws.Relative[ScoreTable.Full].Mean)];
            double[] areas = [.. Enumerable.Range(0, _bootstrap.Resamples).Select(draw => _curve.Auc([.. points.Select(column => draws.RelativeTo(column, draw))]))];
            auc = _bootstrap.Around(_curve.Auc(relative), areas);
            compression = [.. CompressionCurve.Tolerances.Select(tolerance => _curve.MaximumCompression(relative, tolerance))];
        }

        CellResult[] cells = [.. columns.SelectMany(_table.CellsOf).Where(cell => !double.IsNaN(cell.Score))];
        return new PolicyStatistics
        {
            Policy = policy,
            Budgets = budgets,
            Auc = auc,
            MaximumCompression = compression,
            Stages = cells.Length == 0 ? default : new StageSeconds(
                cells.Average(cell => cell.PrefillSeconds),
                cells.Average(cell => cell.ScoreSeconds),
                cells.Average(cell => cell.PlanSeconds),
                cells.Average(cell => cell.ApplySeconds),
                cells.Average(cell => cell.QuestionSeconds)),
            PeakPositions = cells.Length == 0 ? 0 : cells.Max(cell => cell.PeakPositions),
        };
    }

    private BudgetStatistics? Budget(int column, CellBudget budget, Draws draws)
    {
        CellResult[] all = [.. _table.CellsOf(column)];
        CellResult[] cells = [.. all.Where(cell => !double.IsNaN(cell.Score))];
        if (all.Length == 0)
        {
            return null;
        }

        // A null task mean makes the mean over tasks NaN: the tasks of two columns must be the same.
        MeanOverTasks accuracy = draws.Accuracy[column];
        MeanOverTasks relative = draws.Relative[column];
        double fullMean = draws.Relative[ScoreTable.Full].Mean;
        CellResult[] decoded = [.. cells.Where(cell => cell is { AnswerTokens: > 0, DecodeSeconds: > 0 })];
        CellResult[] layered = [.. cells.Where(cell => cell.LayerRows.Count > 0)];
        return new BudgetStatistics
        {
            Budget = budget,
            Samples = cells.Length,
            Failed = all.Length - cells.Length,
            Accuracy = double.IsNaN(accuracy.Mean) ? null : _bootstrap.Around(accuracy.Mean, accuracy.ToArray()),
            Relative = double.IsNaN(relative.Mean / fullMean)
                ? null
                : _bootstrap.Around(relative.Mean / fullMean, [.. Enumerable.Range(0, _bootstrap.Resamples).Select(draw => draws.RelativeTo(column, draw))]),
            Tasks = draws.Tasks[column],
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
        ? cell.LayerRows[layer] / ((double)_manifest.KvHeads * cell.ContextTokens)
        : throw new ReportException($"A result of {cell.Dataset} {cell.Task} {cell.Id} has rows of {cell.LayerRows.Count} layers, run.json says {_manifest.Layers}. Run it again into an empty folder.");

    // The columns of the curve's ratios, the full cache's first.
    private int[]? CurveColumns(string policy)
    {
        int p = _table.Policies.ToList().IndexOf(policy);
        int[] budgets = [.. _curve!.Ratios.Skip(1).Select(ratio => _table.Budgets.ToList().FindIndex(budget => budget.Ratio is { } r && Math.Abs(r - ratio) < Same))];
        return [ScoreTable.Full, .. budgets.Select(budget => _table.Column(p, budget))];
    }

    // -------------------------------------------------------------------------------------------------- comparison

    private List<PairedComparison> Compare(string baseline)
    {
        int b = _table.Policies.ToList().FindIndex(policy => policy == baseline);
        b = b >= 0 ? b : _table.Policies.ToList().FindIndex(policy => policy.StartsWith(baseline + ":", StringComparison.Ordinal));
        return b < 0 ? [] : [.. Enumerable.Range(0, _table.Policies.Count).Where(p => p != b).Select(p => Compare(p, b)).OfType<PairedComparison>()];
    }

    private PairedComparison? Compare(int policy, int baseline)
    {
        int[] shared =
        [
            .. Enumerable.Range(0, _table.Budgets.Count).Where(budget => _table.CellsOf(_table.Column(policy, budget)).Any() && _table.CellsOf(_table.Column(baseline, budget)).Any()),
        ];
        int[] mine = [.. shared.Select(budget => _table.Column(policy, budget))];
        int[] theirs = [.. shared.Select(budget => _table.Column(baseline, budget))];
        int[] curve = _curve is null || !_isRelative.Contains(true) ? [] : [.. CurveColumns(_table.Policies[policy])!.Skip(1).Select(column => Array.IndexOf(mine, column))];
        int resamples = _bootstrap.Resamples;
        MeanOverTasks[] differences = [.. shared.Select(_ => new MeanOverTasks(resamples))];
        MeanOverTasks[] relativeDifferences = [.. shared.Select(_ => new MeanOverTasks(resamples))];
        MeanOverTasks full = new(resamples);
        int[] wins = new int[shared.Length + 1];
        int[] losses = new int[shared.Length + 1];
        int samples = 0;
        int relativeSamples = 0;
        double[] means = new double[resamples];
        for (int task = 0; task < _table.Tasks.Count; task++)
        {
            if (!_isAccuracy[task])
            {
                continue;
            }

            double[][] scores = _scores[task];
            int[] common =
            [
                .. Enumerable.Range(0, _table.Samples(task)).Where(i => !double.IsNaN(scores[ScoreTable.Full][i]) && mine.Concat(theirs).All(column => !double.IsNaN(scores[column][i]))),
            ];
            if (common.Length == 0)
            {
                continue;
            }

            samples += common.Length;
            int[] counts = _bootstrap.Draw(common.Length, task);
            for (int k = 0; k < shared.Length; k++)
            {
                double[] difference = [.. common.Select(i => scores[mine[k]][i] - scores[theirs[k]][i])];
                wins[k] += difference.Count(d => d > Same);
                losses[k] += difference.Count(d => d < -Same);
                Bootstrap.Means(difference, counts, means);
                differences[k].Add(difference.Average(), means);
                if (_isRelative[task])
                {
                    relativeDifferences[k].Add(difference.Average(), means);
                }
            }

            if (_isRelative[task])
            {
                double[] whole = [.. common.Select(i => scores[ScoreTable.Full][i])];
                relativeSamples += common.Length;
                Bootstrap.Means(whole, counts, means);
                full.Add(whole.Average(), means);
                if (curve.Length > 0 && !curve.Contains(-1))
                {
                    double[] areas = [.. common.Select(i => _curve!.Auc([0, .. curve.Select(k => scores[mine[k]][i] - scores[theirs[k]][i])]))];
                    wins[^1] += areas.Count(d => d > Same);
                    losses[^1] += areas.Count(d => d < -Same);
                }
            }
        }

        if (shared.Length == 0 || samples == 0)
        {
            return null;
        }

        PairedDifference? auc = null;
        if (curve.Length > 0 && !curve.Contains(-1) && full.Mean > 0)
        {
            // The area is linear in accuracy, and at ratio 0 both are the full cache.
            double[] draws =
            [
                .. Enumerable.Range(0, resamples).Select(draw => _curve!.Auc([0, .. curve.Select(k => Quotient(relativeDifferences[k][draw], full[draw]))])),
            ];
            double area = _curve!.Auc([0, .. curve.Select(k => relativeDifferences[k].Mean / full.Mean)]);
            auc = Difference(null, _bootstrap.Around(area, draws), wins[^1], losses[^1], relativeSamples);
        }

        return new PairedComparison(
            _table.Policies[policy],
            _table.Policies[baseline],
            samples,
            [.. shared.Select((budget, k) => Difference(_table.Budgets[budget], _bootstrap.Around(differences[k].Mean, differences[k].ToArray()), wins[k], losses[k], samples))],
            auc);

        static PairedDifference Difference(CellBudget? budget, Estimate estimate, int wins, int losses, int of) => new(budget, estimate, wins, of - wins - losses, losses);
    }

    // ----------------------------------------------------------------------------------------------------- needles

    private List<NeedleMap> Needles()
    {
        CellResult[] full = [.. _table.CellsOf(ScoreTable.Full), .. Enumerable.Range(1, _table.Columns - 1).SelectMany(_table.CellsOf)];
        double[] depths = [.. full.Select(cell => cell.Depth).OfType<double>().Select(depth => Math.Round(depth, 6)).Distinct().Order()];
        bool binned = depths.Length > MostDepths;
        List<NeedleMap> maps = [];
        Add(CellResult.FullCache, new CellBudget(0, null), ScoreTable.Full);
        for (int policy = 0; policy < _table.Policies.Count; policy++)
        {
            for (int budget = 0; budget < _table.Budgets.Count; budget++)
            {
                Add(_table.Policies[policy], _table.Budgets[budget], _table.Column(policy, budget));
            }
        }

        return maps;

        void Add(string policy, CellBudget budget, int column)
        {
            NeedleCell[] cells =
            [
                .. _table.CellsOf(column)
                    .Where(cell => cell.Depth is not null && !double.IsNaN(cell.Score) && cell.Metric != MetricNames.Perplexity)
                    .GroupBy(cell => (Length: cell.Length?.ToString(CultureInfo.InvariantCulture) ?? cell.Dataset, Depth: Place(cell.Depth!.Value)))
                    .OrderBy(group => group.First().Length ?? int.MaxValue).ThenBy(group => group.Key.Length, StringComparer.Ordinal).ThenBy(group => group.Key.Depth)
                    .Select(group => new NeedleCell(group.Key.Length, group.Key.Depth, group.Average(cell => cell.Score), group.Count())),
            ];
            if (cells.Length > 0)
            {
                maps.Add(new NeedleMap { Policy = policy, Budget = budget, Cells = cells });
            }
        }

        double Place(double depth) => binned ? Math.Min(Math.Floor((depth * 10) + Same), 9) / 10 : Math.Round(depth, 6);
    }

    // ------------------------------------------------------------------------------------------------------- sums

    private static double Mean(double[] scores)
    {
        double[] there = [.. scores.Where(score => !double.IsNaN(score))];
        return there.Length == 0 ? double.NaN : there.Average();
    }

    private static double Average(CellResult[] cells, Func<CellResult, double> value) => cells.Length == 0 ? 0 : cells.Average(value);

    // A draw in which the full cache answers nothing says nothing about a share of its accuracy.
    private static double Quotient(double value, double full) => full > 0 ? value / full : double.NaN;

    /// <summary>Means over tasks, of all samples and of every draw.</summary>
    private sealed class Draws(int columns, int tasks, int resamples)
    {
        public MeanOverTasks[] Accuracy { get; } = [.. Enumerable.Range(0, columns).Select(_ => new MeanOverTasks(resamples))];

        public MeanOverTasks[] Relative { get; } = [.. Enumerable.Range(0, columns).Select(_ => new MeanOverTasks(resamples))];

        public Estimate?[][] Tasks { get; } = [.. Enumerable.Range(0, columns).Select(_ => new Estimate?[tasks])];

        public double RelativeTo(int column, int draw) => Quotient(Relative[column][draw], Relative[ScoreTable.Full][draw]);
    }
}
