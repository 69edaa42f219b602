namespace EdgeKV.Policies.Scorers;

/// <summary>What <see cref="GlobalTopK"/> multiplies a row's attention by, so that a score says what losing the row costs.</summary>
public enum RowWeight
{
    /// <summary>Nothing: attention alone.</summary>
    None,

    /// <summary>The length of the row's value, ||v[j]||_2.</summary>
    ValueNorm,

    /// <summary>The length of what the value adds to the layer's output, ||W_O,a v[j]||_2, mean over the KV head's attention heads a.</summary>
    OutputNorm,
}
