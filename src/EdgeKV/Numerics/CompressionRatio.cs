namespace EdgeKV.Numerics;

/// <summary>What a compression ratio means: the share of rows that is removed, 0 (keep all) to below 1.</summary>
/// <remarks>Row counts truncate in double, as the reference does: 0.9 of 100 rows keeps 9, where 0.9f would keep 10.</remarks>
public static class CompressionRatio
{
    /// <summary>keep(x) = (int)(x * (1 - ratio)), in double.</summary>
    /// <param name="rows">Rows there are, 0 and up.</param>
    /// <param name="ratio">The share removed, 0 to below 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">An argument is out of its range.</exception>
    public static long Keep(long rows, double ratio)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        return (long)(rows * (1 - Checked(ratio)));
    }

    /// <summary>The ratio itself.</summary>
    /// <param name="ratio">The share removed, 0 to below 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">The ratio is below 0, 1 or above, or not a number.</exception>
    internal static double Checked(double ratio) => ratio is >= 0 and < 1
        ? ratio
        : throw new ArgumentOutOfRangeException(nameof(ratio), ratio, "A compression ratio is the share removed: 0 to below 1.");
}
