namespace EdgeKV.Calibration;

/// <summary>What a calibration is doing.</summary>
public enum CalibrationStage
{
    /// <summary>Reading texts and having the model repeat them.</summary>
    Learning,

    /// <summary>Comparing predictions with what the model does, on texts that were not learned from.</summary>
    Checking,

    /// <summary>Seeing which attention heads find a needle again (CompressKV).</summary>
    RetrievalHeads,

    /// <summary>Seeing what layers lose with few rows (CompressKV).</summary>
    LayerErrors,

    /// <summary>Averaging queries and keys (DuoAttention's stand-in gates).</summary>
    Gates,

    /// <summary>Seeing what heads lose with fewer rows (LU-KV).</summary>
    BudgetCurves,

    /// <summary>Seeing which heads look back to earlier copies (RazorAttention).</summary>
    EchoHeads,

    /// <summary>Finding the main directions of queries (Q-Filters).</summary>
    QueryDirections,

    /// <summary>Seeing what a general question looks at (probed scores).</summary>
    Probes,
}

/// <summary>How far a calibration is.</summary>
/// <param name="Stage">What it is doing.</param>
/// <param name="Share">Share of the whole work that is done, 0 to 1.</param>
public readonly record struct CalibrationProgress(CalibrationStage Stage, double Share);
