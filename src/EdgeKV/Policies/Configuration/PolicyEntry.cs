using EdgeKV.Planning;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Configuration;

/// <summary>A policy that can be asked for by name.</summary>
public sealed class PolicyEntry
{
    private readonly Func<ICompressionPolicy> _create;
    private readonly OptionBinder _binder;

    private PolicyEntry(string name, Type type, Func<ICompressionPolicy> create)
    {
        Name = name;
        _create = create;
        _binder = new OptionBinder(type);
        ScoresRows = type.IsAssignableTo(typeof(IRowScorer));
    }

    /// <summary>Its name, lower case.</summary>
    public string Name { get; }

    /// <summary>What it does, in one line.</summary>
    public required string Summary { get; init; }

    /// <summary>The paper's arXiv id, for example "2404.14469"; null: ours, or a baseline.</summary>
    public string? Paper { get; init; }

    /// <summary>How its rows lie.</summary>
    public required PolicyRows Rows { get; init; }

    /// <summary>Whether it feeds more than the end of the context once more. Default: no.</summary>
    public PolicyTrait ExtraPass { get; init; }

    /// <summary>Whether it needs a profile of the model, made by calibration. Default: no.</summary>
    public PolicyTrait Profile { get; init; }

    /// <summary>Whether its choice depends on the question. Default: no.</summary>
    public PolicyTrait QueryAware { get; init; }

    /// <summary>Whether it scores rows, so that wrappers can share their budget by its scores.</summary>
    public bool ScoresRows { get; }

    /// <summary>What can be set by name, with its default.</summary>
    public IReadOnlyList<PolicyOption> Options => field ??= _binder.Describe(_create());

    /// <summary>Takes a task set in place of the policy's own; null: the policy has none to take.</summary>
    internal Func<ICompressionPolicy, TaskSet, ICompressionPolicy>? WithTasks { get; private init; }

    /// <summary>A policy's entry.</summary>
    /// <param name="name">Its name, lower case.</param>
    /// <param name="create">Makes it with its defaults. Its public init properties are its options.</param>
    /// <param name="traits">The rest of the entry.</param>
    /// <param name="withTasks">Takes a task set; null: it has none.</param>
    internal static PolicyEntry Of<T>(string name, Func<T> create, PolicyTraits traits, Func<T, TaskSet, T>? withTasks = null)
        where T : class, ICompressionPolicy => new(name, typeof(T), create)
        {
            Summary = traits.Summary,
            Paper = traits.Paper,
            Rows = traits.Rows,
            ExtraPass = traits.ExtraPass,
            Profile = traits.Profile,
            QueryAware = traits.QueryAware,
            WithTasks = withTasks is null ? null : (policy, tasks) => withTasks((T)policy, tasks),
        };

    /// <summary>Makes the policy.</summary>
    /// <param name="budget">How much may stay; null = the policy's default.</param>
    /// <param name="taskSet">The tokens whose attention judges the context; null = the policy's own.</param>
    /// <exception cref="ArgumentException">The policy takes no task set.</exception>
    public ICompressionPolicy Create(Budget? budget = null, TaskSet? taskSet = null)
    {
        ICompressionPolicy policy = _create();
        if (taskSet is not null)
        {
            policy = WithTasks?.Invoke(policy, taskSet)
                ?? throw new ArgumentException($"Policy {Name} takes no task set; leave it out.", nameof(taskSet));
        }

        return budget is null ? policy : policy.WithBudget(budget);
    }

    /// <summary>Makes the policy with options by name.</summary>
    /// <param name="options">Their names and values.</param>
    /// <param name="questions">What a task set "question" asks.</param>
    /// <param name="isWrapped">Whether another policy wraps it: a budget is then no option.</param>
    internal ICompressionPolicy Bind(IReadOnlyDictionary<string, string> options, IReadOnlyList<string>? questions, bool isWrapped)
    {
        ICompressionPolicy policy = _create();
        _binder.Set(policy, Name, options, questions, isWrapped);
        return policy;
    }
}
