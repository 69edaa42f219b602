namespace EdgeKV.Evaluation;

/// <summary>How a policy finds needles by length and depth.</summary>
public sealed record NeedleMap
{
    /// <summary>The policy, or <see cref="CellResult.FullCache"/>.</summary>
    public required string Policy { get; init; }

    /// <summary>The budget; ratio 0 for the full cache.</summary>
    public required EvalBudget Budget { get; init; }

    /// <summary>Cells that hold samples.</summary>
    public required IReadOnlyList<NeedleCell> Cells { get; init; }
}

/// <summary>Samples of one length and depth.</summary>
/// <param name="Length">The length that the data sets give, or the data set's name where they give none.</param>
/// <param name="Depth">Where the needles lie, 0 to 1: as given where a run has up to eleven depths, else the lower end of a tenth.</param>
/// <param name="Score">Mean score.</param>
/// <param name="Samples">Samples.</param>
public sealed record NeedleCell(string Length, double Depth, double Score, int Samples);
