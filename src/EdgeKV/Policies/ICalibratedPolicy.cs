using EdgeKV.Profiles;

namespace EdgeKV.Policies;

/// <summary>
/// A policy that needs tables about the model, found once by calibration, or one that wraps such a policy. The tables are options that are set before
/// planning: whoever has the model's profile sets them, a session does it by itself.
/// </summary>
public interface ICalibratedPolicy
{
    /// <summary>Names of the tables that it still has to be given; none where code or an option gave them.</summary>
    IReadOnlyList<string> MissingTables { get; }

    /// <summary>The same policy with its missing tables from a profile.</summary>
    /// <param name="profile">The model's profile.</param>
    /// <exception cref="ProfileException">The profile lacks a table; the message says what makes it.</exception>
    ICalibratedPolicy WithTables(ScoreProfile profile);

    /// <summary>What a policy, or what it wraps, has to be given of a profile.</summary>
    /// <param name="policy">A policy or a scorer.</param>
    internal static IReadOnlyList<string> MissingOf(object policy) => policy is ICalibratedPolicy calibrated ? calibrated.MissingTables : [];

    /// <summary>A policy or a scorer with its missing tables; itself where it misses none.</summary>
    /// <param name="policy">A policy or a scorer.</param>
    /// <param name="profile">The model's profile.</param>
    internal static T Complete<T>(T policy, ScoreProfile profile)
        where T : class => MissingOf(policy).Count > 0 ? (T)((ICalibratedPolicy)policy).WithTables(profile) : policy;

    /// <summary>A profile's table.</summary>
    /// <param name="profile">The profile.</param>
    /// <param name="name">The policy that needs it.</param>
    /// <exception cref="ProfileException">There is none.</exception>
    internal static ProfileTable Table(ScoreProfile profile, string name)
    {
        ArgumentNullException.ThrowIfNull(profile);
        return profile.Tables.TryGetValue(name, out ProfileTable? table)
            ? table
            : throw new ProfileException(
                $"The profile{(profile.Path is null ? string.Empty : $" {profile.Path}")} has no table for {name}; make it with `edgekv calibrate MODEL --for {name}`.");
    }
}
