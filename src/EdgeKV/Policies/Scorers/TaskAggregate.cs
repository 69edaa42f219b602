namespace EdgeKV.Policies.Scorers;

/// <summary>How the attention of all task tokens becomes one score per attention head and context token.</summary>
public enum TaskAggregate
{
    /// <summary>The largest weight that any task token gave.</summary>
    Max,

    /// <summary>The mean weight over all task tokens.</summary>
    Mean,
}
