namespace EdgeKV.Evaluation;

/// <summary>A task of a data set: what accuracy is averaged over.</summary>
/// <param name="Dataset">The data set, such as "ruler/2048".</param>
/// <param name="Task">The task within it, such as "niah_single_2".</param>
/// <param name="Metric">How its answers are judged, one of <see cref="MetricNames"/>.</param>
public sealed record TaskName(string Dataset, string Task, string Metric)
{
    /// <summary>Whether scores are perplexities, which no mean of accuracies may hold.</summary>
    public bool IsPerplexity => Metric == MetricNames.Perplexity;

    /// <summary>What tables call it; a data set of one task has one name.</summary>
    public override string ToString() => Dataset == Task ? Task : $"{Dataset} {Task}";
}
