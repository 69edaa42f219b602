namespace EdgeKV.Scoring;

/// <summary>What is summed over cached rows r with their weights w.</summary>
internal enum RowMoment
{
    /// <summary>w r, [headSize].</summary>
    First,

    /// <summary>w r r^T, [headSize, headSize].</summary>
    Second,
}
