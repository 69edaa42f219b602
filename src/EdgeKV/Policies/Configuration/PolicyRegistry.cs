using EdgeKV.Planning;
using EdgeKV.Policies.Allocators;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Configuration;

/// <summary>All policies by name: those of <see cref="ScorerEntries"/> and <see cref="AllocatorEntries"/>, where a new one is added.</summary>
public static class PolicyRegistry
{
    /// <summary>The policy taken where none is named.</summary>
    public const string Default = GlobalRanking.PolicyName;

    /// <summary>All policies, in the order in which help lists them.</summary>
    public static IReadOnlyList<PolicyEntry> Entries { get; } = [.. ScorerEntries.All, .. AllocatorEntries.All];

    /// <summary>The entry of that name.</summary>
    /// <param name="name">One of <see cref="Entries"/>, in any case.</param>
    /// <exception cref="ArgumentException">There is no such policy; the message lists those there are.</exception>
    public static PolicyEntry Find(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return Entries.FirstOrDefault(entry => string.Equals(entry.Name, name, StringComparison.OrdinalIgnoreCase))
            ?? throw new ArgumentException(
                $"There is no policy '{name}'; there are {string.Join(", ", Entries.Select(entry => entry.Name))}.", nameof(name));
    }

    /// <summary>Makes the policy of that name. Options by name: <see cref="PolicyOptions"/>.</summary>
    /// <param name="name">One of <see cref="Entries"/>, in any case.</param>
    /// <param name="budget">How much may stay.</param>
    /// <param name="taskSet">The tokens whose attention judges the context; null = the policy's own.</param>
    /// <exception cref="ArgumentException">There is no such policy, or it takes no task set.</exception>
    public static ICompressionPolicy Create(string name, Budget budget, TaskSet? taskSet = null)
    {
        ArgumentNullException.ThrowIfNull(budget);
        return Find(name).Create(budget, taskSet);
    }
}
