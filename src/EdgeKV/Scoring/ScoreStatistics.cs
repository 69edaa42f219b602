namespace EdgeKV.Scoring;

/// <summary>The statistics that a policy may ask of the score pass.</summary>
[Flags]
public enum ScoreStatistics
{
    /// <summary>Nothing: no pass is run.</summary>
    None = 0,

    /// <summary>Largest attention weight over the task tokens, per attention head and context token.</summary>
    Max = 1,

    /// <summary>Sum of the attention weights over the task tokens, per attention head and context token. Divided by the queries it is the mean.</summary>
    Sum = 2,

    /// <summary>L2 norm of the cached key, per KV head and context token.</summary>
    KeyNorms = 4,

    /// <summary>L2 norm of the cached value, per KV head and context token.</summary>
    ValueNorms = 8,

    /// <summary>
    /// Predicted natural logarithm of the attention that a repeat pass would give (<see cref="RepeatTaskSet"/>), per KV head and context
    /// token, read from the prefill itself.
    /// </summary>
    Learned = 16,
}
