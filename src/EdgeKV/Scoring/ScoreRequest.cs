namespace EdgeKV.Scoring;

/// <summary>What a policy needs to see before it can plan.</summary>
/// <param name="TaskSet">The tokens whose attention judges the context.</param>
/// <param name="Statistics">What is aggregated over them.</param>
public sealed record ScoreRequest(TaskSet TaskSet, ScoreStatistics Statistics)
{
    /// <summary>
    /// What such scores are called: the task set's name where its attention is aggregated, "learned" for learned scores, "both" for the two,
    /// "none" where neither is asked for.
    /// </summary>
    public string Name => (NeedsAttention, Statistics.HasFlag(ScoreStatistics.Learned)) switch
    {
        (true, false) => TaskSet.Name,
        (true, true) => "both",
        (false, true) => "learned",
        _ => "none",
    };

    /// <summary>
    /// Whether anything has to be fed or aggregated; key and value norms come from the cache alone, learned scores from the prefill.
    /// </summary>
    public bool NeedsAttention => (Statistics & (ScoreStatistics.Max | ScoreStatistics.Sum)) != 0;
}
