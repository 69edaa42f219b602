namespace EdgeKV.Scoring;

/// <summary>Which of the two vectors that a token has in every KV head.</summary>
internal enum RowKind
{
    /// <summary>The key, position encoding applied.</summary>
    Keys,

    /// <summary>The value.</summary>
    Values,
}
