namespace EdgeKV.Scoring;

/// <summary>What a factor makes of a cached row r.</summary>
internal enum RowForm
{
    /// <summary>f r, with f [headSize].</summary>
    Linear,

    /// <summary>r^T F r, with F [headSize, headSize].</summary>
    Quadratic,

    /// <summary>||F r||^2, with F [headSize, headSize].</summary>
    Squares,
}
