namespace EdgeKV.Evaluation;

/// <summary>A figure that was measured several times.</summary>
/// <param name="Median">Half of the measurements lie below it.</param>
/// <param name="LowerQuartile">A quarter lies below it.</param>
/// <param name="UpperQuartile">A quarter lies above it.</param>
/// <param name="Min">The smallest.</param>
/// <param name="Max">The largest.</param>
/// <param name="Count">Measurements, 1 and up.</param>
public sealed record Measured(double Median, double LowerQuartile, double UpperQuartile, double Min, double Max, int Count)
{
    /// <summary>Fewer measurements than this have no spread that could be told.</summary>
    public const int LeastForSpread = 3;

    /// <summary>The upper less the lower quartile; null where there are fewer than <see cref="LeastForSpread"/> measurements.</summary>
    public double? Spread => Count >= LeastForSpread ? UpperQuartile - LowerQuartile : null;

    /// <summary>Sums up measurements. Quartiles between two of them are interpolated.</summary>
    /// <param name="values">At least one, in any order.</param>
    /// <exception cref="ArgumentException">There is none.</exception>
    public static Measured Of(params IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length == 0
            ? throw new ArgumentException("There is nothing to sum up.", nameof(values))
            : new Measured(Quantile(sorted, 0.5), Quantile(sorted, 0.25), Quantile(sorted, 0.75), sorted[0], sorted[^1], sorted.Length);
    }

    /// <summary>Of two series that were measured in turns: each pair by itself, so that a machine that changes speed changes both sides.</summary>
    /// <param name="first">The first of each pair.</param>
    /// <param name="second">The second, as many.</param>
    /// <param name="combine">What is made of a pair.</param>
    /// <exception cref="ArgumentException">There is no pair, or one series is longer.</exception>
    public static Measured Pairs(IReadOnlyList<double> first, IReadOnlyList<double> second, Func<double, double, double> combine)
    {
        ArgumentNullException.ThrowIfNull(first);
        ArgumentNullException.ThrowIfNull(second);
        ArgumentNullException.ThrowIfNull(combine);
        return first.Count == second.Count
            ? Of(first.Zip(second, combine))
            : throw new ArgumentException($"{first.Count} measurements cannot be paired with {second.Count}.", nameof(second));
    }

    private static double Quantile(double[] sorted, double share)
    {
        double place = share * (sorted.Length - 1);
        int below = (int)place;
        return below + 1 < sorted.Length ? sorted[below] + (place - below) * (sorted[below + 1] - sorted[below]) : sorted[below];
    }
}
