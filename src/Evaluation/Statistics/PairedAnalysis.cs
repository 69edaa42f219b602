namespace EdgeKV.Evaluation;

/// <summary>Works out <see cref="PairedComparison"/>s.</summary>
/// <param name="table">The scores.</param>
/// <param name="curve">The points of areas; null: the run has none.</param>
/// <param name="isRelative">By task, whether relative figures hold it.</param>
/// <param name="bootstrap">How intervals are found.</param>
internal sealed class PairedAnalysis(ScoreTable table, CompressionCurve? curve, IReadOnlyList<bool> isRelative, Bootstrap bootstrap)
{
    // Scores are not this fine, and their sums are not this exact.
    private const double Same = 1e-9;

    /// <summary>Every other policy against the baseline; none where the run has no such policy.</summary>
    /// <param name="baseline">The policy with its options, or its name alone: then the first of that name.</param>
    public IReadOnlyList<PairedComparison> Against(string baseline)
    {
        List<string> policies = [.. table.Policies];
        int named = policies.IndexOf(baseline);
        named = named >= 0 ? named : policies.FindIndex(policy => policy.StartsWith(baseline + ":", StringComparison.Ordinal));
        return named < 0
            ? []
            : [.. Enumerable.Range(0, policies.Count).Where(policy => policy != named).Select(policy => Compare(policy, named)).OfType<PairedComparison>()];
    }

    private PairedComparison? Compare(int policy, int baseline)
    {
        int[] budgets = [.. Enumerable.Range(0, table.Budgets.Count).Where(budget => Has(policy, budget) && Has(baseline, budget))];
        int[] mine = [.. budgets.Select(budget => table.Column(policy, budget))];
        int[] theirs = [.. budgets.Select(budget => table.Column(baseline, budget))];
        int[] points = Points(budgets);
        Tally[] tallies = [.. budgets.Select(_ => new Tally(bootstrap.Resamples))];
        Tally[] relative = [.. budgets.Select(_ => new Tally(bootstrap.Resamples))];
        Tally areas = new(bootstrap.Resamples);
        MeanOverTasks full = new(bootstrap.Resamples);
        for (int task = 0; task < table.Tasks.Count; task++)
        {
            double[] whole = table.Scores(task, ScoreTable.Full);
            double[][] my = [.. mine.Select(column => table.Scores(task, column))];
            double[][] their = [.. theirs.Select(column => table.Scores(task, column))];
            int[] common = [.. Enumerable.Range(0, whole.Length).Where(i => my.Concat(their).Append(whole).All(scores => !double.IsNaN(scores[i])))];
            if (table.Tasks[task].IsPerplexity || common.Length == 0)
            {
                continue;
            }

            int[] draws = bootstrap.Draw(common.Length, task);
            double[][] differences = [.. budgets.Select((_, k) => common.Select(i => my[k][i] - their[k][i]).ToArray())];
            for (int k = 0; k < budgets.Length; k++)
            {
                tallies[k].Add(differences[k], draws);
                if (isRelative[task])
                {
                    relative[k].Add(differences[k], draws);
                }
            }

            if (isRelative[task])
            {
                double[] means = new double[bootstrap.Resamples];
                double[] scores = [.. common.Select(i => whole[i])];
                Bootstrap.Means(scores, draws, means);
                full.Add(scores.Average(), means);
                if (points.Length > 0)
                {
                    areas.Add([.. common.Select((_, i) => curve!.Auc([0, .. points.Select(k => differences[k][i])]))], draws);
                }
            }
        }

        return budgets.Length == 0 || tallies[0].Samples == 0
            ? null
            : new PairedComparison(
                table.Policies[policy],
                table.Policies[baseline],
                tallies[0].Samples,
                [.. budgets.Zip(tallies, (budget, tally) => tally.Difference(table.Budgets[budget], bootstrap.Around(tally.Means.Mean, tally.Means.ToArray())))],
                points.Length == 0 || !(full.Mean > 0) ? null : areas.Difference(null, Area(points, relative, full)));
    }

    private bool Has(int policy, int budget) => table.CellsOf(table.Column(policy, budget)).Any();

    // Where the curve's ratios stand among the budgets of both; none where one is not there.
    private int[] Points(int[] budgets)
    {
        int[] points = curve is null || !isRelative.Contains(true)
            ? []
            : [.. curve.Ratios.Skip(1).Select(ratio => Array.FindIndex(budgets, budget => table.Budgets[budget].IsRatio(ratio)))];
        return points.Contains(-1) ? [] : points;
    }

    // The area is linear in accuracy, and at ratio 0 both are the full cache.
    private Estimate Area(int[] points, Tally[] differences, MeanOverTasks full)
    {
        double value = curve!.Auc([0, .. points.Select(k => differences[k].Means.Mean / full.Mean)]);
        double[] draws = new double[bootstrap.Resamples];
        for (int draw = 0; draw < draws.Length; draw++)
        {
            draws[draw] = full[draw] > 0 ? curve.Auc([0, .. points.Select(k => differences[k].Means[draw] / full[draw])]) : double.NaN;
        }

        return bootstrap.Around(value, draws);
    }

    /// <summary>Differences of samples: their mean over tasks, and who is ahead.</summary>
    private sealed class Tally(int resamples)
    {
        private readonly double[] _means = new double[resamples];
        private int _wins;
        private int _losses;

        public MeanOverTasks Means { get; } = new(resamples);

        public int Samples { get; private set; }

        public void Add(double[] differences, int[] draws)
        {
            Samples += differences.Length;
            _wins += differences.Count(difference => difference > Same);
            _losses += differences.Count(difference => difference < -Same);
            Bootstrap.Means(differences, draws, _means);
            Means.Add(differences.Average(), _means);
        }

        public PairedDifference Difference(EvalBudget? budget, Estimate estimate) => new(budget, estimate, _wins, Samples - _wins - _losses, _losses);
    }
}
