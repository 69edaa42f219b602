using static EdgeKV.Evaluation.Tests.Statistics.Results;

namespace EdgeKV.Evaluation.Tests.Statistics;

public class RunStatisticsTests
{
    private const string Full = CellResult.FullCache;

    [Fact]
    public void From_TasksOfUnequalSize_CountAlike()
    {
        // 3 samples at 1 and one at 0: the mean over samples would be 0.75.
        RunStatistics run = Of([.. Column("a", Full, 0, 1, 1, 1), .. Column("b", Full, 0, 1), .. Column("a", "tova", 0.5, 1, 1, 1), .. Column("b", "tova", 0.5, 0)]);

        Assert.Equal(0.5, run.Policies[0].Budgets[0]!.Accuracy!.Value.Value, 12);
        Assert.Equal(1, run.Full!.Budgets[0]!.Accuracy!.Value.Value, 12);
        Assert.Equal(4, run.Samples);
        Assert.Equal([1.0, 0.0], run.Policies[0].Budgets[0]!.Tasks.Select(task => task!.Value.Value));
    }

    [Fact]
    public void From_TaskThatTheFullCacheNeverAnswers_IsLeftOutOfRelativeFiguresAndNamed()
    {
        RunStatistics run = Of(
        [
            .. Column("a", Full, 0, 1, 0), .. Column("b", Full, 0, 0, 0),
            .. Column("a", "tova", 0.5, 0.4, 0), .. Column("b", "tova", 0.5, 1, 1),
        ]);

        Assert.Equal("d b", Assert.Single(run.LeftOut).ToString());
        Assert.Equal((0.2 + 1) / 2, run.Policies[0].Budgets[0]!.Accuracy!.Value.Value, 12);
        Assert.Equal(0.4, run.Policies[0].Budgets[0]!.Relative!.Value.Value, 12);
        Assert.Equal(0.7, run.Policies[0].Auc!.Value.Value, 12);
    }

    [Fact]
    public void From_FullCacheAnswersNothing_HasNoRelativeFigures()
    {
        RunStatistics run = Of([.. Column("a", Full, 0, 0, 0), .. Column("a", "tova", 0.5, 1, 0), .. Column("a", "global", 0.5, 1, 1)]);

        Assert.Null(run.Policies[0].Budgets[0]!.Relative);
        Assert.Null(run.Policies[0].Auc);
        Assert.Empty(run.Policies[0].MaximumCompression);
        Assert.Null(Assert.Single(run.Comparisons).Auc);
        Assert.Equal(0.5, run.Policies[0].Budgets[0]!.Accuracy!.Value.Value, 12);
    }

    [Fact]
    public void From_WholeGrid_HasTheAucOfTheDefinition()
    {
        double[] scores = [0.9, 0.8, 0.8, 0.7, 0.6, 0.5, 0.5, 0.3, 0.1];
        RunStatistics run = Of([.. Column("a", Full, 0, 0.8, 1), .. scores.SelectMany((score, i) => Column("a", "tova", (i + 1) * 0.1, score, score))]);

        double[] relative = [1, .. scores.Select(score => score / 0.9)];
        double sum = Enumerable.Range(0, 9).Sum(i => 0.1 * (relative[i] + relative[i + 1]) / 2);
        Assert.True(run.Curve!.IsGrid);
        Assert.Equal(sum / 0.9, run.Policies[0].Auc!.Value.Value, 12);

        // 0.8 of 0.9 is 0.889, 0.7 is 0.778.
        Assert.Equal([0.1, 0.1, 0.3], run.Policies[0].MaximumCompression);
    }

    [Fact]
    public void From_EqualSamples_HasIntervalsWithoutWidth()
    {
        RunStatistics run = Of([.. Column("a", Full, 0, 1, 1, 1), .. Column("a", "tova", 0.5, 0.5, 0.5, 0.5)]);

        BudgetStatistics budget = run.Policies[0].Budgets[0]!;
        Assert.Equal(new Estimate(0.5, 0.5, 0.5), budget.Accuracy);
        Assert.Equal(new Estimate(0.5, 0.5, 0.5), budget.Relative);
        Assert.Equal(new Estimate(0.75, 0.75, 0.75), run.Policies[0].Auc);
    }

    [Fact]
    public void From_DifferentSamples_HasIntervalsAroundTheirMeanAndTheSameAgain()
    {
        CellResult[] cells = [.. Column("a", Full, 0, 1, 1, 1, 1, 1, 1), .. Column("a", "tova", 0.5, 1, 0, 1, 0, 1, 0)];

        Estimate first = Of(cells).Policies[0].Auc!.Value;

        Assert.InRange(first.Low, 0.5, 0.7);
        Assert.InRange(first.High, 0.8, 1);
        Assert.Equal(first, Of(cells).Policies[0].Auc);
    }

    [Fact]
    public void From_SamplesThatFailTogether_HaveARelativeIntervalWithoutWidth()
    {
        // The policy has half of whatever the full cache has, so the share is the same in every draw.
        RunStatistics run = Of([.. Column("a", Full, 0, 1, 0, 1, 0, 0, 1), .. Column("a", "tova", 0.5, 0.5, 0, 0.5, 0, 0, 0.5)]);

        Estimate relative = run.Policies[0].Budgets[0]!.Relative!.Value;
        Assert.Equal(0.5, relative.Low, 12);
        Assert.Equal(0.5, relative.High, 12);
        Assert.True(run.Policies[0].Budgets[0]!.Accuracy!.Value.Low < 0.2);
    }

    [Fact]
    public void From_FailedCell_IsCountedAndLeftOut()
    {
        CellResult failed = Cell("a", 1, "tova", 0.5, double.NaN) with { Error = "no", Bytes = 999_999, AnswerTokens = 0, LayerRows = [] };

        RunStatistics run = Of([.. Column("a", Full, 0, 1, 1), Cell("a", 0, "tova", 0.5, 0.5), failed]);

        BudgetStatistics budget = run.Policies[0].Budgets[0]!;
        Assert.Equal((1, 1), (budget.Samples, budget.Failed));
        Assert.Equal(0.5, budget.Accuracy!.Value.Value);
        Assert.Equal(500, budget.Bytes);
        Assert.Equal([0.5, 0.1], budget.LayerShares);
        Assert.Equal(0, run.Missing);
        Assert.Contains(ReportTables.Notes(run), note => note == "tova: 1 cell failed and is left out of its means. The reason: no.");
    }

    [Fact]
    public void From_TaskWithoutAnyScore_HasNoAccuracy()
    {
        RunStatistics run = Of([.. Column("a", Full, 0, 1), .. Column("b", Full, 0, 1), .. Column("a", "tova", 0.5, 1), .. Column("b", "tova", 0.5, double.NaN)]);

        Assert.Null(run.Policies[0].Budgets[0]!.Accuracy);
        Assert.Null(run.Policies[0].Auc);
    }

    [Fact]
    public void From_InterruptedRun_CountsWhatIsMissing()
    {
        RunStatistics run = Of([.. Column("a", Full, 0, 1, 1), .. Column("a", "tova", 0.5, 1, 1), .. Column("a", "tova", 0.8, 1)]);

        Assert.Equal(1, run.Missing);
        Assert.Contains(ReportTables.Notes(run), note => note.Contains("1 cells are missing", StringComparison.Ordinal));
    }

    [Fact]
    public void From_CellTwice_TakesTheLaterOne() =>
        Assert.Equal(0.25, Of([.. Column("a", Full, 0, 1), Cell("a", 0, "tova", 0.5, double.NaN), Cell("a", 0, "tova", 0.5, 0.25)]).Policies[0].Budgets[0]!.Accuracy!.Value.Value);

    [Fact]
    public void From_PolicyAtRatioZero_IsTheFullCacheAndNoBudget()
    {
        RunStatistics run = Of([.. Column("a", Full, 0, 1), .. Column("a", "tova", 0, 0.5), .. Column("a", "tova", 0.5, 0.5)]);

        Assert.Equal([new EvalBudget(0.5, null)], run.Budgets);
        Assert.Equal(0.75, run.Policies[0].Auc!.Value.Value, 12);
    }

    [Fact]
    public void From_Rows_AreGroupedMostFirstAndHaveNoCurve()
    {
        RunStatistics run = Of([.. Column("a", Full, 0, 1), Cell("a", 0, "tova", null, 0.5, rows: 256), Cell("a", 0, "tova", null, 0.75, rows: 512)]);

        Assert.Equal(["512 rows", "256 rows"], run.Budgets.Select(budget => budget.ToString()));
        Assert.Equal([0.75, 0.5], run.Policies[0].Budgets.Select(budget => budget!.Accuracy!.Value.Value));
        Assert.Null(run.Curve);
        Assert.Null(run.Policies[0].Auc);
    }

    [Fact]
    public void From_Perplexity_IsApartAndAGeometricMean()
    {
        RunStatistics run = Of(
        [
            .. Column("a", Full, 0, 1), .. Column("a", "tova", 0.5, 1),
            .. Column("p", Full, 0, 2, 8).Select(Perplexity), .. Column("p", "tova", 0.5, 4, 64).Select(Perplexity),
        ]);

        Assert.Equal(1, run.Policies[0].Budgets[0]!.Accuracy!.Value.Value);
        Assert.Equal(4, run.Full!.Budgets[0]!.Tasks[1]!.Value.Value, 9);
        Assert.Equal(16, run.Policies[0].Budgets[0]!.Tasks[1]!.Value.Value, 9);
        Assert.Empty(run.LeftOut);

        static CellResult Perplexity(CellResult cell) => cell with { Metric = MetricNames.Perplexity };
    }

    [Fact]
    public void From_Costs_AreMeansAndThePeak()
    {
        RunStatistics run = Of([.. Column("a", Full, 0, 1), Cell("a", 0, "tova", 0.5, 1), Cell("a", 0, "tova", 0.8, 1) with { ScoreSeconds = 1.5, PeakPositions = 200, DecodeSeconds = 1 }]);

        PolicyStatistics tova = run.Policies[0];
        Assert.Equal(1, tova.Stages.Score);
        Assert.Equal(1 + 1 + 0.25 + 0.125 + 0.0625, tova.Stages.FirstToken);
        Assert.Equal(200, tova.PeakPositions);
        Assert.Equal([5.0, 10.0], tova.Budgets.Select(budget => budget!.TokensPerSecond!.Value));
    }

    [Fact]
    public void From_Policies_KeepTheOrderOfTheRun()
    {
        CellResult[] cells = [.. Column("a", Full, 0, 1), .. Column("a", "snapkv", 0.5, 1), .. Column("a", "tova", 0.5, 1), .. Column("a", "extra", 0.5, 1)];

        Assert.Equal(["tova", "snapkv", "extra"], RunStatistics.From(Manifest("tova", "missing", "snapkv"), cells).Policies.Select(policy => policy.Policy));
    }

    [Fact]
    public void From_TwoMetricsInATask_AreRefusedByName()
    {
        CellResult[] cells = [Cell("a", 0, Full, 0, 1), Cell("a", 1, Full, 0, 1) with { Metric = MetricNames.F1 }];

        Assert.Contains("Task d a", Assert.Throws<ReportException>(() => Of(cells)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void From_Nothing_IsRefused() => Assert.Contains("no results yet", Assert.Throws<ReportException>(() => Of([])).Message, StringComparison.Ordinal);

    [Fact]
    public void Compare_HandComputed_CountsWinsTiesAndLosses()
    {
        RunStatistics run = Of(
        [
            .. Column("a", Full, 0, 1, 1, 1, 1), .. Column("a", "global", 0.5, 1, 1, 0, 0.5), .. Column("a", "tova", 0.5, 0, 1, 1, 0),
            .. Column("b", Full, 0, 1), .. Column("b", "global", 0.5, 0.5), .. Column("b", "tova", 0.5, 0),
        ]);

        PairedComparison comparison = Assert.Single(run.Comparisons);
        Assert.Equal(("tova", "global", 5), (comparison.Policy, comparison.Baseline, comparison.Samples));
        PairedDifference at = Assert.Single(comparison.Budgets);
        Assert.Equal((1, 1, 3), (at.Wins, at.Ties, at.Losses));
        Assert.Equal(((-0.5 / 4) - 0.5) / 2, at.Difference.Value, 12);
        Assert.Equal(at.Difference.Value / 2, comparison.Auc!.Difference.Value, 12);
        Assert.Equal((1, 1, 3), (comparison.Auc.Wins, comparison.Auc.Ties, comparison.Auc.Losses));
    }

    [Fact]
    public void Compare_TheSameScores_IsATieWithoutWidth()
    {
        RunStatistics run = Of([.. Column("a", Full, 0, 1, 1, 0), .. Column("a", "global:x=1", 0.5, 1, 0, 0), .. Column("a", "tova", 0.5, 1, 0, 0)]);

        PairedDifference at = Assert.Single(Assert.Single(run.Comparisons).Budgets);
        Assert.Equal("global:x=1", run.Comparisons[0].Baseline);
        Assert.Equal((0, 3, 0), (at.Wins, at.Ties, at.Losses));
        Assert.Equal(new Estimate(0, 0, 0), at.Difference);
        Assert.False(at.IsClear);
    }

    [Fact]
    public void Compare_AlwaysWorse_IsClear()
    {
        RunStatistics run = Of([.. Column("a", Full, 0, 1, 1, 1), .. Column("a", "global", 0.5, 1, 0.5, 0.75), .. Column("a", "tova", 0.5, 0.75, 0.25, 0.5)]);

        PairedDifference at = Assert.Single(Assert.Single(run.Comparisons).Budgets);
        Assert.Equal(-0.25, at.Difference.Value, 12);
        Assert.True(at.IsClear);
    }

    [Fact]
    public void Compare_SampleThatOneHasNot_CountsForNeither()
    {
        RunStatistics run = Of([.. Column("a", Full, 0, 1, 1, 1), .. Column("a", "global", 0.5, 1, 0, 1), .. Column("a", "tova", 0.5, 0, double.NaN, 1)]);

        PairedComparison comparison = Assert.Single(run.Comparisons);
        Assert.Equal(2, comparison.Samples);
        Assert.Equal(-0.5, comparison.Budgets[0].Difference.Value, 12);
    }

    [Fact]
    public void Compare_AllSamplesThere_IsTheDifferenceOfTheFigures()
    {
        Random random = new(11);
        double[] Scores() => [.. Enumerable.Range(0, 12).Select(_ => (double)random.Next(2))];
        CellResult[] cells =
        [
            .. Column("a", Full, 0, [1, .. Scores()]), .. Column("b", Full, 0, [1, .. Scores()]),
            .. from policy in new[] { "global", "tova" }
               from task in new[] { "a", "b" }
               from ratio in new[] { 0.5, 0.8, 0.9 }
               from cell in Column(task, policy, ratio, [1, .. Scores()])
               select cell,
        ];

        RunStatistics run = RunStatistics.From(Manifest("global", "tova"), cells);

        PairedComparison comparison = Assert.Single(run.Comparisons);
        Assert.Equal(run.Policies[1].Auc!.Value.Value - run.Policies[0].Auc!.Value.Value, comparison.Auc!.Difference.Value, 12);
        Assert.All(comparison.Budgets.Index(), at => Assert.Equal(
            run.Policies[1].Budgets[at.Index]!.Accuracy!.Value.Value - run.Policies[0].Budgets[at.Index]!.Accuracy!.Value.Value, at.Item.Difference.Value, 12));
    }

    [Fact]
    public void Compare_NoBaseline_IsEmpty() => Assert.Empty(Of([.. Column("a", Full, 0, 1), .. Column("a", "tova", 0.5, 1)]).Comparisons);

    [Fact]
    public void Needles_FewDepths_StandAsGiven()
    {
        RunStatistics run = Of([.. Column("a", Full, 0, 1, 0, 0).Select((cell, i) => cell with { Depth = new[] { 0.05, 0.05, 0.5 }[i], Length = 2048 })]);

        Assert.Equal([new NeedleCell("2048", 0.05, 0.5, 2), new NeedleCell("2048", 0.5, 0, 1)], Assert.Single(run.Needles).Cells);
    }

    [Fact]
    public void Needles_ManyDepths_StandInTenths()
    {
        double[] scores = new double[21];
        RunStatistics run = Of([.. Column("a", Full, 0, scores).Select((cell, i) => cell with { Depth = i / 20.0, Length = i < 10 ? 4096 : 512 })]);

        NeedleMap map = Assert.Single(run.Needles);
        Assert.Equal(["512", "4096"], map.Cells.Select(cell => cell.Length).Distinct());
        Assert.Equal([0.5, 0.6, 0.7, 0.8, 0.9], map.Cells.Where(cell => cell.Length == "512").Select(cell => cell.Depth));
        Assert.Equal(3, map.Cells.Single(cell => cell.Depth == 0.9).Samples);
    }

    private static RunStatistics Of(CellResult[] cells) => RunStatistics.From(Manifest(), cells);
}
