namespace EdgeKV.Compression;

/// <summary>What a compression is doing.</summary>
public enum CompressionStage
{
    /// <summary>Feeding the task tokens and aggregating their attention.</summary>
    Scoring,

    /// <summary>Choosing the rows that stay.</summary>
    Planning,

    /// <summary>Finding the kept rows that take in the values of dropped ones.</summary>
    Merging,

    /// <summary>Rewriting the cache.</summary>
    Applying,

    /// <summary>Timing decode steps.</summary>
    Measuring,
}

/// <summary>How far a compression is.</summary>
/// <param name="Stage">What it is doing.</param>
/// <param name="Share">Share of that stage that is done, 0 to 1.</param>
public readonly record struct CompressionProgress(CompressionStage Stage, double Share);
