using EdgeKV.Planning;
using EdgeKV.Scoring;

namespace EdgeKV.Policies;

/// <summary>All policies by name: the one place where a new one is added.</summary>
public static class PolicyRegistry
{
    /// <summary>The policy taken where none is named.</summary>
    public const string Default = GlobalTopK.PolicyName;

    /// <summary>All policies, in the order in which help lists them.</summary>
    public static IReadOnlyList<PolicyEntry> Entries { get; } =
    [
        new(
            GlobalTopK.PolicyName,
            "One ranking over the whole model, ragged rows: by learned scores, or by a pass over the task set that is given",
            (budget, tasks) => tasks is null
                ? new GlobalTopK { Budget = budget }
                : new GlobalTopK { Budget = budget, Source = RowScore.Repeat, TaskSet = tasks }),
        new(
            KVCompose.StructuredName,
            "KVCompose, composite rows: layers differ, the heads of a layer keep equally many rows",
            (budget, tasks) => new KVCompose { Budget = budget, TaskSet = tasks ?? TaskSet.Context }),
        new(
            KVCompose.UnstructuredName,
            "KVCompose, ragged rows: every head has its own count; better answers at high ratios",
            (budget, tasks) => new KVCompose { Structured = false, Budget = budget, TaskSet = tasks ?? TaskSet.Context }),
    ];

    /// <summary>Makes the policy of that name.</summary>
    /// <param name="name">One of <see cref="Entries"/>, in any case.</param>
    /// <param name="budget">How much may stay.</param>
    /// <param name="taskSet">The tokens whose attention judges the context; null = the policy's own.</param>
    /// <exception cref="ArgumentException">There is no such policy; the message lists those there are.</exception>
    public static ICompressionPolicy Create(string name, Budget budget, TaskSet? taskSet = null)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(budget);
        foreach (PolicyEntry entry in Entries)
        {
            if (string.Equals(entry.Name, name, StringComparison.OrdinalIgnoreCase))
            {
                return entry.Create(budget, taskSet);
            }
        }

        throw new ArgumentException(
            $"There is no policy '{name}'; there are {string.Join(", ", Entries.Select(entry => entry.Name))}.", nameof(name));
    }
}
