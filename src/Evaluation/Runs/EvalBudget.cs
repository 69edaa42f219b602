using System.Globalization;
using EdgeKV.Planning;

namespace EdgeKV.Evaluation;

/// <summary>What a policy is allowed: a compression ratio, or rows per layer and KV head. Exactly one of them is there.</summary>
/// <param name="Ratio">The share of the rows that goes, 0 to below 1; 0 is the full cache, whatever the policy. Null where rows are given.</param>
/// <param name="Rows">Rows per layer and KV head that stay, 1 and up; null where a ratio is given.</param>
public readonly record struct EvalBudget(double? Ratio, int? Rows) : IComparable<EvalBudget>
{
    // 0.30000000000000004 and 0.3 are one ratio to whoever asked for it.
    private const int Digits = 9;

    private const double Same = 1e-9;

    /// <summary>The full cache's.</summary>
    public static EvalBudget Full { get; } = new(0, null);

    /// <summary>Whether nothing is to go.</summary>
    public bool IsFull => Ratio == 0;

    /// <summary>A ratio.</summary>
    /// <param name="ratio">0 to below 1.</param>
    public static EvalBudget OfRatio(double ratio) => new(ratio, null);

    /// <summary>Rows.</summary>
    /// <param name="rows">1 and up.</param>
    public static EvalBudget OfRows(int rows) => new(null, rows);

    /// <summary>The cell's.</summary>
    /// <param name="cell">A result with a ratio or rows.</param>
    public static EvalBudget Of(CellResult cell) =>
        cell.Ratio is { } ratio ? new EvalBudget(Math.Round(ratio, Digits), null) : new EvalBudget(null, cell.Rows);

    /// <summary>Whether it is that ratio.</summary>
    /// <param name="ratio">0 to 1.</param>
    public bool IsRatio(double ratio) => Ratio is { } mine && Math.Abs(mine - ratio) < Same;

    /// <summary>As policies take it.</summary>
    public Budget ToBudget() => Ratio is { } ratio ? Budget.FromRatio(ratio) : Budget.FromRows(Rows!.Value);

    /// <summary>Such as "0.8" or "256 rows".</summary>
    public override string ToString() => Ratio is { } ratio
        ? ratio.ToString("0.######", CultureInfo.InvariantCulture)
        : string.Create(CultureInfo.InvariantCulture, $"{Rows} rows");

    /// <summary>The least compression comes first: ratios up, rows down.</summary>
    public int CompareTo(EvalBudget other) =>
        Ratio is not null || other.Ratio is not null ? Nullable.Compare(Ratio, other.Ratio) : Nullable.Compare(other.Rows, Rows);

    /// <summary>Less compression.</summary>
    public static bool operator <(EvalBudget left, EvalBudget right) => left.CompareTo(right) < 0;

    /// <summary>Less compression, or the same.</summary>
    public static bool operator <=(EvalBudget left, EvalBudget right) => left.CompareTo(right) <= 0;

    /// <summary>More compression.</summary>
    public static bool operator >(EvalBudget left, EvalBudget right) => left.CompareTo(right) > 0;

    /// <summary>More compression, or the same.</summary>
    public static bool operator >=(EvalBudget left, EvalBudget right) => left.CompareTo(right) >= 0;
}
