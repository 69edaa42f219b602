using System.Globalization;

namespace EdgeKV.Evaluation;

/// <summary>Relative accuracy against the compression ratio: the points that a run has, the area under them and how far they may be followed.</summary>
/// <remarks>docs/guide/report.md says how both are defined.</remarks>
public sealed class CompressionCurve
{
    /// <summary>Tolerances of the maximum compression: 0.05, 0.1 and 0.2.</summary>
    public static readonly IReadOnlyList<double> Tolerances = [0.05, 0.1, 0.2];

    private const double Last = 0.9;
    private const int GridPoints = 10;

    // Sums of scores such as 0.1 are off by less than this, and scores are not this fine.
    private const double Rounding = 1e-9;

    private readonly double[] _ratios;

    private CompressionCurve(double[] ratios, bool isGrid)
    {
        _ratios = ratios;
        IsGrid = isGrid;
    }

    /// <summary>Ratios, ascending: 0, where the full cache stands, and those above it.</summary>
    public IReadOnlyList<double> Ratios => _ratios;

    /// <summary>Whether the ratios are 0, 0.1, …, 0.9, so that the area is the AUC of every other such run.</summary>
    public bool IsGrid { get; }

    /// <summary>What the area is called: "AUC", or the points that it is taken over.</summary>
    public string AucName => IsGrid ? "AUC" : string.Create(CultureInfo.InvariantCulture, $"AUC over 0–{_ratios[^1]:0.######}, {_ratios.Length} points");

    /// <summary>The points of a run: the grid where the run has all of it, else every ratio up to 0.9.</summary>
    /// <param name="budgets">The run's budgets.</param>
    /// <returns>Null where no ratio lies above 0 and up to 0.9: rows were given, or nothing was compressed.</returns>
    public static CompressionCurve? Of(IEnumerable<EvalBudget> budgets)
    {
        double[] ratios = [0, .. budgets.Select(budget => budget.Ratio ?? 0).Where(ratio => ratio > 0 && ratio <= Last + Rounding).Distinct().Order()];
        double[] grid = [.. Enumerable.Range(0, GridPoints).Select(step => Math.Round(step * 0.1, 1))];
        bool hasGrid = grid.All(point => ratios.Any(ratio => Math.Abs(ratio - point) < Rounding));
        return ratios.Length < 2 ? null : new CompressionCurve(hasGrid ? grid : ratios, hasGrid);
    }

    /// <summary>The area under relative accuracy, by trapezoids between neighbouring ratios, over the width: 1 = nothing is lost.</summary>
    /// <param name="relative">Relative accuracy at every one of <see cref="Ratios"/>.</param>
    public double Auc(ReadOnlySpan<double> relative)
    {
        Check(relative);
        double area = 0;
        for (int i = 1; i < _ratios.Length; i++)
        {
            area += (_ratios[i] - _ratios[i - 1]) * (relative[i - 1] + relative[i]) / 2;
        }

        return area / _ratios[^1];
    }

    /// <summary>The largest ratio at which, and at all below it, at least 1 - tolerance of the accuracy is left; else 0. No interpolation.</summary>
    /// <param name="relative">Relative accuracy at every one of <see cref="Ratios"/>.</param>
    /// <param name="tolerance">The share of the accuracy that may be lost.</param>
    public double MaximumCompression(ReadOnlySpan<double> relative, double tolerance)
    {
        Check(relative);
        double reached = 0;
        for (int i = 0; i < _ratios.Length && relative[i] >= 1 - tolerance - Rounding; i++)
        {
            reached = _ratios[i];
        }

        return reached;
    }

    private void Check(ReadOnlySpan<double> relative)
    {
        if (relative.Length != _ratios.Length)
        {
            throw new ArgumentException($"There are {_ratios.Length} ratios and {relative.Length} accuracies.", nameof(relative));
        }
    }
}
