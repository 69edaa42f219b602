using System.Globalization;
using EdgeKV.Planning;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using EdgeKV.Profiles;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Configuration;

/// <summary>
/// Makes a policy that can plan from what was asked for, the model's profile and the room behind the context: the one place that chooses what the default
/// policy ranks rows by.
/// </summary>
/// <remarks>
/// Where "global" is asked for without "source" and "task-set", rows are ranked by <see cref="ProbedScorer"/> where the profile has its table, the general
/// question fits behind the context, and neither a threshold nor a weight is set, which were tried with learned scores alone. They are ranked by
/// <see cref="LearnedScorer"/> where not, and by <see cref="TaskScorer"/> over the repeated context where there is no profile.
/// </remarks>
public static class PolicyResolver
{
    private const string Source = "source";

    /// <summary>Makes the default policy.</summary>
    /// <param name="budget">How much may stay.</param>
    /// <param name="profile">The model's profile; null: it has none, or the context was read without it.</param>
    /// <param name="room">What fits behind the context.</param>
    /// <exception cref="ProfileException">The profile's table cannot be used.</exception>
    public static PolicyResolution Resolve(Budget budget, ScoreProfile? profile, ContextRoom room)
    {
        ArgumentNullException.ThrowIfNull(budget);
        return Resolve(new PolicySpec(PolicyOptions.Parse(PolicyRegistry.Default)) { Budget = budget }, () => profile, room);
    }

    /// <summary>Makes the policy that was asked for.</summary>
    /// <param name="spec">What was asked for.</param>
    /// <param name="profile">Reads the model's profile, and is asked only where it is needed; gives null where the model has none.</param>
    /// <param name="room">What fits behind the context.</param>
    /// <exception cref="ArgumentException">An option is unknown, a value is wrong, options contradict each other, or the policy takes no task set.</exception>
    /// <exception cref="ProfileException">The policy needs a profile or a table that is not there, or the table cannot be used.</exception>
    public static PolicyResolution Resolve(PolicySpec spec, Func<ScoreProfile?> profile, ContextRoom room)
    {
        ArgumentNullException.ThrowIfNull(spec);
        ArgumentNullException.ThrowIfNull(profile);
        ArgumentNullException.ThrowIfNull(room);
        if (!IsOpen(spec))
        {
            ICompressionPolicy policy = spec.Options.Create(spec.Questions, spec.TaskSet, spec.Budget);
            return NeedsOf(policy).Any ? Given(policy, profile()) : new PolicyResolution(policy, Profile: null, Note: null);
        }

        ScoreProfile? found = profile();
        if (found is null && spec.MayRepeat)
        {
            return new PolicyResolution(From(spec, "repeat"), Profile: null, "there is no profile for this model, so the repeat pass scores its rows")
            {
                LacksProfile = true,
            };
        }

        PolicyResolution learned = Given(From(spec, "learned"), found);
        bool canProbe = learned.Policy is GlobalRanking { Limit: null, Scorer: LearnedScorer } && found!.Tables.ContainsKey(ProbedScorer.TableName);
        return !canProbe || room.HasNone ? learned
            : room.HoldsQuestion ? Given(From(spec, "probed"), found)
            : learned with { Note = NoRoom(room) };
    }

    /// <summary>A policy with the tables that it still lacks; itself where it lacks none.</summary>
    /// <param name="policy">The policy.</param>
    /// <param name="profile">Reads the model's profile, and is asked only where a table is lacking; gives null where the model has none.</param>
    /// <exception cref="ProfileException">The policy needs a table that is not there, or the table cannot be used.</exception>
    public static ICompressionPolicy Complete(ICompressionPolicy policy, Func<ScoreProfile?> profile)
    {
        ArgumentNullException.ThrowIfNull(profile);
        return ICalibratedPolicy.MissingOf(policy).Count > 0 ? Given(policy, profile()).Policy : policy;
    }

    /// <summary>What the policy that was asked for takes from a profile, where it cannot do without.</summary>
    /// <param name="spec">What was asked for.</param>
    /// <exception cref="ArgumentException">An option is unknown, a value is wrong, options contradict each other, or the policy takes no task set.</exception>
    public static PolicyNeeds NeedsOf(PolicySpec spec)
    {
        ArgumentNullException.ThrowIfNull(spec);
        return IsOpen(spec) && spec.MayRepeat
            ? new PolicyNeeds(Learned: false, [])
            : NeedsOf(spec.Options.Create(spec.Questions, spec.TaskSet, spec.Budget));
    }

    // Whether nobody has said what rows are scored by.
    private static bool IsOpen(PolicySpec spec) =>
        spec.Options.Policy == GlobalRanking.PolicyName && !spec.Options.ChooseScores && spec.TaskSet is null;

    private static ICompressionPolicy From(PolicySpec spec, string source) =>
        spec.Options.With(Source, source).Create(spec.Questions, tasks: null, spec.Budget);

    // A policy that lacks tables cannot say yet what else it needs.
    private static PolicyNeeds NeedsOf(ICompressionPolicy policy)
    {
        IReadOnlyList<string> tables = ICalibratedPolicy.MissingOf(policy);
        return new PolicyNeeds(tables.Count == 0 && policy.Request.Statistics.Any(statistic => statistic is Learned), tables);
    }

    private static PolicyResolution Given(ICompressionPolicy policy, ScoreProfile? profile)
    {
        if (profile is null)
        {
            string table = ICalibratedPolicy.MissingOf(policy) is [var first, ..] ? $" --for {first}" : string.Empty;
            throw new ProfileException(
                $"Policy {policy.Name} needs a profile, and there is none for this model; make one with `edgekv calibrate MODEL{table}`.");
        }

        return new PolicyResolution(ICalibratedPolicy.Complete(policy, profile), profile, Note: null);
    }

    private static string NoRoom(ContextRoom room) => string.Create(
        CultureInfo.InvariantCulture,
        $"behind {room.Tokens:N0} tokens there is no room for the {room.Question:N0} of a general question in {room.Limit:N0}, so rows are ranked by learned scores alone");
}
