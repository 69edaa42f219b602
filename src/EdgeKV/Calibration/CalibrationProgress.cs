namespace EdgeKV.Calibration;

/// <summary>What a calibration is doing.</summary>
public enum CalibrationStage
{
    /// <summary>Reading texts and having the model repeat them.</summary>
    Learning,

    /// <summary>Comparing predictions with what the model does, on texts that were not learned from.</summary>
    Checking,
}

/// <summary>How far a calibration is.</summary>
/// <param name="Stage">What it is doing.</param>
/// <param name="Share">Share of the whole work that is done, 0 to 1.</param>
public readonly record struct CalibrationProgress(CalibrationStage Stage, double Share);
