using EdgeKV.Numerics;
using EdgeKV.Planning;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Configuration;

/// <summary>
/// The options of the policy "global" by name, and the scorer and ranking that they stand for. <see cref="PolicyResolver"/> chooses the source where none is
/// given.
/// </summary>
internal sealed record GlobalSettings
{
    // Null as long as nobody gave one: defaults depend on other options, which may be set later.
    private readonly RowScore? _source;
    private readonly TaskSet? _taskSet;
    private readonly int? _protected;
    private readonly int? _recent;

    /// <summary>What rows are ranked by. Default: attention of the task set where one is given, learned scores where not.</summary>
    public RowScore Source
    {
        get => _source ?? (_taskSet is null ? RowScore.Learned : RowScore.Repeat);
        init => _source = value;
    }

    /// <summary>What <see cref="RowScore.Probed"/> needs; null: it comes from the model's profile.</summary>
    public ProbeCorrection? Correction { get; init; }

    /// <summary>The tokens whose attention judges the context; learned scores alone have no use for it, and probed ones have their own. Default: the context repeated.</summary>
    /// <exception cref="ArgumentNullException">The value is null.</exception>
    public TaskSet TaskSet
    {
        get => _taskSet ?? TaskSet.Repeat;
        init => _taskSet = value ?? throw new ArgumentNullException(nameof(value));
    }

    /// <summary>What a row's attention is multiplied by. Default: nothing.</summary>
    public RowWeight Weight { get; init; }

    /// <summary>First positions that every KV head keeps, 0 and up. Default: the scorer's, 4 or, for repeat scores, 0.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Protected
    {
        get => Attention().Sinks;
        init => _protected = new LearnedScorer { Sinks = value }.Sinks;
    }

    /// <summary>Last positions that every KV head keeps, 0 and up. Default: the scorer's, 4 or, for repeat scores, 0.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Recent
    {
        get => Attention().Recent;
        init => _recent = new LearnedScorer { Recent = value }.Recent;
    }

    /// <summary>The least score that stays, a natural logarithm of attention for every source: repeat scores are compared as ln(s + 1e-7). Default: none.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not a finite number.</exception>
    public double? Threshold
    {
        get;
        init => field = value is null || double.IsFinite(value.Value)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A threshold is a finite number: a logarithm of attention.");
    }

    /// <summary>How much may stay; null: ratio 0.8, or with a threshold all that reaches it.</summary>
    public Budget? Budget { get; init; }

    /// <summary>The scorer.</summary>
    /// <exception cref="ArgumentException">Options contradict each other, or one is out of its range.</exception>
    public IRowScorer ToScorer() => Weight switch
    {
        RowWeight.None => Attention(),
        RowWeight.ValueNorm => new WeightedScorer(Attention(), new ValueNorms()),
        RowWeight.OutputNorm => new WeightedScorer(Attention(), new OutputNorms(NormKind.L2)),
        _ => throw new ArgumentException($"There is no row weight {Weight}."),
    };

    /// <summary>The ranking by that scorer.</summary>
    /// <exception cref="ArgumentException">Options contradict each other, or one is out of its range.</exception>
    public GlobalRanking ToPolicy()
    {
        IRowScorer scorer = ToScorer();
        GlobalRanking policy = new(scorer)
        {
            Limit = Threshold is { } threshold && !scorer.AreLogarithms ? AttentionLogarithm.Weight(threshold) : Threshold,
        };
        return Budget is null ? policy : policy with { Budget = Budget };
    }

    private AttentionScorer Attention()
    {
        AttentionScorer scorer = Source switch
        {
            RowScore.Learned => new LearnedScorer(),
            RowScore.Repeat => new TaskScorer { TaskSet = TaskSet },
            RowScore.Both => new SumScorer(new TaskScorer { TaskSet = TaskSet }, new LearnedScorer()),
            RowScore.Probed => TaskSet == TaskSet.Repeat
                ? new ProbedScorer { Correction = Correction }
                : throw new ArgumentException($"Probed scores have a task set of their own; leave out the task set {TaskSet.Name}."),
            _ => throw new ArgumentException($"There is no row score {Source}."),
        };
        scorer = _protected is { } sinks ? scorer with { Sinks = sinks } : scorer;
        return _recent is { } recent ? scorer with { Recent = recent } : scorer;
    }
}
