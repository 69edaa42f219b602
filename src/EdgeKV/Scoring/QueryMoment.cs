namespace EdgeKV.Scoring;

/// <summary>What is known of many queries.</summary>
public enum QueryMoment
{
    /// <summary>Their mean.</summary>
    Mean,

    /// <summary>Their covariance: the mean of (q - mean)(q - mean)^T, divided by the count.</summary>
    Covariance,
}
