using EdgeKV.Models;
using EdgeKV.Policies.Configuration;
using EdgeKV.Profiles;

namespace EdgeKV.Evaluation;

/// <summary>What a run compares, and how.</summary>
public sealed record EvalOptions
{
    /// <summary>The policies; their budgets are the run's.</summary>
    public required IReadOnlyList<PolicyOptions> Policies { get; init; }

    /// <summary>The budgets, ascending as they shall be reported. The full cache is measured whether it is among them or not.</summary>
    public required IReadOnlyList<EvalBudget> Budgets { get; init; }

    /// <summary>Element type of keys and values.</summary>
    public KvCacheType CacheType { get; init; } = KvCacheType.F16;

    /// <summary>Threads of the engine, at most <see cref="Sessions.SessionOptions.MostThreads"/>; 0 (default) = physical cores.</summary>
    public int Threads { get; init; }

    /// <summary>
    /// Whether the question is part of what is compressed, so that policies see it. Figures of such runs say nothing about many questions over
    /// one context; the two kinds must not share a table. Default: false.
    /// </summary>
    public bool QueryAware { get; init; }

    /// <summary>Whether the values of removed rows go into kept ones, whatever the policy: <see cref="Compression.CompressOptions.Merge"/>. Default: false.</summary>
    public bool Merge { get; init; }

    /// <summary>What learned scores come from; null (default): the model's own profile, where there is one.</summary>
    public ScoreProfile? Profile { get; init; }
}
