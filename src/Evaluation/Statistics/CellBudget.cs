using System.Globalization;

namespace EdgeKV.Evaluation;

/// <summary>What a policy was allowed in a cell: a compression ratio, or rows per layer and KV head.</summary>
/// <param name="Ratio">The share of the rows that was to go; null where rows were given.</param>
/// <param name="Rows">Rows per layer and KV head that were to stay; null where a ratio was given.</param>
public readonly record struct CellBudget(double? Ratio, int? Rows) : IComparable<CellBudget>
{
    // 0.30000000000000004 and 0.3 are one ratio to whoever asked for it.
    private const int Digits = 9;

    private const double Same = 1e-9;

    /// <summary>The full cache's.</summary>
    public static CellBudget Full { get; } = new(0, null);

    /// <summary>The cell's.</summary>
    /// <param name="cell">A result with a ratio or rows.</param>
    public static CellBudget Of(CellResult cell) =>
        cell.Ratio is { } ratio ? new CellBudget(Math.Round(ratio, Digits), null) : new CellBudget(null, cell.Rows);

    /// <summary>Whether it is that ratio.</summary>
    /// <param name="ratio">0 to 1.</param>
    public bool IsRatio(double ratio) => Ratio is { } mine && Math.Abs(mine - ratio) < Same;

    /// <summary>Such as "0.8" or "256 rows".</summary>
    public override string ToString() => Ratio is { } ratio
        ? ratio.ToString("0.######", CultureInfo.InvariantCulture)
        : string.Create(CultureInfo.InvariantCulture, $"{Rows} rows");

    /// <summary>The least compression comes first: ratios up, rows down.</summary>
    public int CompareTo(CellBudget other) =>
        Ratio is not null || other.Ratio is not null ? Nullable.Compare(Ratio, other.Ratio) : Nullable.Compare(other.Rows, Rows);

    /// <summary>Less compression.</summary>
    public static bool operator <(CellBudget left, CellBudget right) => left.CompareTo(right) < 0;

    /// <summary>Less compression, or the same.</summary>
    public static bool operator <=(CellBudget left, CellBudget right) => left.CompareTo(right) <= 0;

    /// <summary>More compression.</summary>
    public static bool operator >(CellBudget left, CellBudget right) => left.CompareTo(right) > 0;

    /// <summary>More compression, or the same.</summary>
    public static bool operator >=(CellBudget left, CellBudget right) => left.CompareTo(right) >= 0;
}
