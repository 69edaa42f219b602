namespace EdgeKV.Policies.Configuration;

/// <summary>What the policy "global" multiplies a row's attention by, as its option "weight" names it: <see cref="Scorers.WeightedScorer"/>.</summary>
internal enum RowWeight
{
    /// <summary>Nothing: attention alone.</summary>
    None,

    /// <summary>The length of the row's value, ||v[j]||_2.</summary>
    ValueNorm,

    /// <summary>The length of what the value adds to the layer's output, ||W_O,a v[j]||_2, mean over the KV head's attention heads a.</summary>
    OutputNorm,
}
