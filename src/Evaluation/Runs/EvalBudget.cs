using System.Globalization;
using EdgeKV.Planning;

namespace EdgeKV.Evaluation;

/// <summary>One column of a run: a compression ratio, or rows per layer and KV head. Exactly one of them is there.</summary>
/// <param name="Ratio">The share of the rows that goes, 0 to below 1; 0 is the full cache, whatever the policy.</param>
/// <param name="Rows">Rows per layer and KV head, 1 and up.</param>
public readonly record struct EvalBudget(double? Ratio, int? Rows)
{
    /// <summary>The full cache.</summary>
    public static EvalBudget Full { get; } = OfRatio(0);

    /// <summary>Whether nothing is to go.</summary>
    public bool IsFull => Ratio == 0;

    /// <summary>A ratio.</summary>
    /// <param name="ratio">0 to below 1.</param>
    public static EvalBudget OfRatio(double ratio) => new(ratio, null);

    /// <summary>Rows.</summary>
    /// <param name="rows">1 and up.</param>
    public static EvalBudget OfRows(int rows) => new(null, rows);

    /// <summary>As policies take it.</summary>
    public Budget ToBudget() => Ratio is { } ratio ? Budget.FromRatio(ratio) : Budget.FromRows(Rows!.Value);

    /// <inheritdoc/>
    public override string ToString() =>
        Ratio is { } ratio ? ratio.ToString("0.###", CultureInfo.InvariantCulture) : string.Create(CultureInfo.InvariantCulture, $"{Rows} rows");
}
