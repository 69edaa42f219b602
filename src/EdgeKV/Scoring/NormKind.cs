namespace EdgeKV.Scoring;

/// <summary>Which norm of a vector.</summary>
public enum NormKind
{
    /// <summary>The sum of the magnitudes.</summary>
    L1,

    /// <summary>The root of the sum of the squares.</summary>
    L2,
}
