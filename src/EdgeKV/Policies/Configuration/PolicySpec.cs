using EdgeKV.Planning;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Configuration;

/// <summary>What is asked for of a policy.</summary>
/// <param name="Options">Its name and options.</param>
public sealed record PolicySpec(PolicyOptions Options)
{
    /// <summary>What a task set "question" asks. Default: null, there is no such task set.</summary>
    public IReadOnlyList<string>? Questions { get; init; }

    /// <summary>A task set in place of the policy's own. Default: null, none is given.</summary>
    public TaskSet? TaskSet { get; init; }

    /// <summary>A budget in place of the options'. Default: null, none is given.</summary>
    public Budget? Budget { get; init; }

    /// <summary>
    /// Whether the repeat pass scores rows where nobody chose the scores and the model has no profile. Default: true. False where results are compared under the
    /// policy's name: a profile is then needed.
    /// </summary>
    public bool MayRepeat { get; init; } = true;
}
