namespace EdgeKV.Evaluation;

/// <summary>How far a run is.</summary>
/// <param name="Cells">Cells that are done, those of earlier runs among them.</param>
/// <param name="TotalCells">All cells.</param>
/// <param name="Remaining">Time to go by what reading, scoring and answering took so far, per token and per cell; null: too early to say.</param>
/// <param name="Share">0 to 1, by that time where it is known, else by cells.</param>
public sealed record EvalProgress(int Cells, int TotalCells, TimeSpan? Remaining, double Share);
