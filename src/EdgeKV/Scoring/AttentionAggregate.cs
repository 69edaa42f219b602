namespace EdgeKV.Scoring;

/// <summary>How the attention weights of several queries become one number per attention head and context token.</summary>
public enum AttentionAggregate
{
    /// <summary>The largest weight.</summary>
    Max,

    /// <summary>The sum of the weights; divided by the queries it is the mean.</summary>
    Sum,
}
