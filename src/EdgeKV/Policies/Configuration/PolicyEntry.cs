using EdgeKV.Planning;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Configuration;

/// <summary>A policy that can be asked for by name.</summary>
public sealed class PolicyEntry
{
    private static readonly Dictionary<string, string> NoOptions = [];

    private readonly Binding _bind;

    private PolicyEntry(string name, PolicyTraits traits, bool scoresRows, bool takesTasks, Func<IReadOnlyList<PolicyOption>> describe, Binding bind)
    {
        Name = name;
        Summary = traits.Summary;
        Paper = traits.Paper;
        Rows = traits.Rows;
        ExtraPass = traits.ExtraPass;
        Profile = traits.Profile;
        QueryAware = traits.QueryAware;
        ScoresRows = scoresRows;
        TakesTasks = takesTasks;
        Options = describe();
        _bind = bind;
    }

    private delegate BoundPolicy Binding(
        IReadOnlyDictionary<string, string> options, IReadOnlyList<string>? questions, bool isWrapped, TaskSet? tasks, Budget? budget);

    /// <summary>Its name, lower case.</summary>
    public string Name { get; }

    /// <summary>What it does, in one line.</summary>
    public string Summary { get; }

    /// <summary>The paper's arXiv id, for example "2404.14469"; null: ours, or a baseline.</summary>
    public string? Paper { get; }

    /// <summary>How its rows lie.</summary>
    public PolicyRows Rows { get; }

    /// <summary>Whether it feeds more than the end of the context once more.</summary>
    public PolicyTrait ExtraPass { get; }

    /// <summary>Whether it needs a profile of the model, made by calibration.</summary>
    public PolicyTrait Profile { get; }

    /// <summary>Whether its choice depends on the question.</summary>
    public PolicyTrait QueryAware { get; }

    /// <summary>Whether it scores rows, so that wrappers can share their budget by its scores.</summary>
    public bool ScoresRows { get; }

    /// <summary>What can be set by name, with its default.</summary>
    public IReadOnlyList<PolicyOption> Options { get; }

    /// <summary>Whether it takes a task set in place of its own.</summary>
    internal bool TakesTasks { get; }

    /// <summary>A policy's entry.</summary>
    /// <param name="name">Its name, lower case.</param>
    /// <param name="create">Makes it with its defaults.</param>
    /// <param name="traits">The rest of the entry.</param>
    /// <param name="settings">Its options by name, the budget apart.</param>
    /// <param name="withTasks">Takes a task set; null: it has none.</param>
    internal static PolicyEntry Of<T>(
        string name, Func<T> create, PolicyTraits traits, IReadOnlyList<PolicySetting<T>>? settings = null, Func<T, TaskSet, T>? withTasks = null)
        where T : class, ICompressionPolicy => Of(
            name, create, traits, settings ?? [], policy => policy, typeof(T).IsAssignableTo(typeof(IRowScorer)) ? policy => (IRowScorer)policy : null, withTasks);

    /// <summary>The entry of a policy that is made from a record of options.</summary>
    /// <param name="name">Its name, lower case.</param>
    /// <param name="create">Makes the options with their defaults.</param>
    /// <param name="traits">The rest of the entry.</param>
    /// <param name="settings">The options by name, the budget apart.</param>
    /// <param name="policyOf">The policy that options stand for.</param>
    /// <param name="scorerOf">The scorer that options stand for; null: the policy scores no rows.</param>
    /// <param name="withTasks">Takes a task set; null: it has none.</param>
    internal static PolicyEntry Of<T>(
        string name,
        Func<T> create,
        PolicyTraits traits,
        IReadOnlyList<PolicySetting<T>> settings,
        Func<T, ICompressionPolicy> policyOf,
        Func<T, IRowScorer>? scorerOf,
        Func<T, TaskSet, T>? withTasks)
    {
        SettingBinder<T> binder = new(name, settings);
        return new PolicyEntry(
            name,
            traits,
            scorerOf is not null,
            withTasks is not null,
            () => binder.Describe(create(), policyOf(create()).Budget),
            (options, questions, isWrapped, tasks, budget) =>
            {
                (T made, Budget? named) = binder.Set(create(), options, questions, isWrapped);
                made = tasks is null ? made : withTasks!(made, tasks);
                ICompressionPolicy policy = policyOf(made);
                return new BoundPolicy((budget ?? named) is { } given ? policy.WithBudget(given) : policy, scorerOf?.Invoke(made));
            });
    }

    /// <summary>Makes the policy.</summary>
    /// <param name="budget">How much may stay; null = the policy's default.</param>
    /// <param name="taskSet">The tokens whose attention judges the context; null = the policy's own.</param>
    /// <exception cref="ArgumentException">The policy takes no task set.</exception>
    public ICompressionPolicy Create(Budget? budget = null, TaskSet? taskSet = null) =>
        Bind(NoOptions, questions: null, isWrapped: false, taskSet, budget).Policy;

    /// <summary>Makes the policy with options by name.</summary>
    /// <param name="options">Their names and values.</param>
    /// <param name="questions">What a task set "question" asks.</param>
    /// <param name="isWrapped">Whether another policy wraps it: a budget is then no option.</param>
    /// <param name="tasks">A task set in place of the policy's own; null: none is given.</param>
    /// <param name="budget">A budget in place of the options'; null: none is given.</param>
    /// <exception cref="ArgumentException">A name is unknown, a value is wrong, or the policy takes no task set.</exception>
    internal BoundPolicy Bind(
        IReadOnlyDictionary<string, string> options, IReadOnlyList<string>? questions, bool isWrapped, TaskSet? tasks = null, Budget? budget = null) =>
        tasks is null || TakesTasks
            ? _bind(options, questions, isWrapped, tasks, budget)
            : throw new ArgumentException($"Policy {Name} takes no task set; leave it out.", nameof(tasks));
}
