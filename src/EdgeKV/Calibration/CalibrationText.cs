namespace EdgeKV.Calibration;

/// <summary>What was done to a text.</summary>
internal enum TextKind
{
    /// <summary>Nothing.</summary>
    Plain,

    /// <summary>Sentences with numbers and identifiers were mixed in.</summary>
    Mixed,

    /// <summary>It is a list of numbers and identifiers.</summary>
    Records,
}

/// <summary>One text to learn from or to check with.</summary>
internal readonly record struct CalibrationText(string Text, TextKind Kind);
