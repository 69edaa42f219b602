using EdgeKV.Profiles;

namespace EdgeKV.Policies.Configuration;

/// <summary>A policy that can plan, and what it took to get there.</summary>
/// <param name="Policy">The policy with all tables that it needs.</param>
/// <param name="Profile">The profile of its learned scores and tables; null: it needs none.</param>
/// <param name="Note">What a user should know about the choice, a sentence without its period; null: nothing.</param>
public sealed record PolicyResolution(ICompressionPolicy Policy, ScoreProfile? Profile, string? Note)
{
    /// <summary>Whether scores come from a pass over the context because the model has no profile.</summary>
    public bool LacksProfile { get; init; }
}
