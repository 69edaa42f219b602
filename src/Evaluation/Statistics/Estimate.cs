using System.Globalization;

namespace EdgeKV.Evaluation;

/// <summary>A figure and its bootstrap interval.</summary>
/// <param name="Value">From all samples.</param>
/// <param name="Low">The interval's lower end.</param>
/// <param name="High">The interval's upper end.</param>
public readonly record struct Estimate(double Value, double Low, double High)
{
    /// <summary>Such as "0.65 (0.52–0.78)".</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Value:0.00} ({Low:0.00}–{High:0.00})");
}
