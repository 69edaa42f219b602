namespace EdgeKV.Calibration;

/// <summary>One text to learn from or to check with.</summary>
/// <param name="Text">What is read.</param>
/// <param name="IsMixed">Whether sentences with numbers and identifiers were mixed in.</param>
internal readonly record struct CalibrationText(string Text, bool IsMixed);
