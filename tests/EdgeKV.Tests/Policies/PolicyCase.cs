using EdgeKV.Models;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies;

/// <summary>What a policy promises of its plans over random contexts: a new policy is one more of <see cref="PolicyCases"/>.</summary>
/// <param name="Name">What the case is called; it need not be a policy's name.</param>
/// <param name="Create">The policy with random options for a context of so many tokens; the budget is set afterwards.</param>
internal sealed record PolicyCase(string Name, Func<Random, int, ICompressionPolicy> Create)
{
    /// <summary>Gives the policy what belongs to a model of some sizes, such as a calibration. Default: nothing.</summary>
    public Func<ICompressionPolicy, CacheGeometry, ICompressionPolicy> Fit { get; init; } = (policy, _) => policy;

    /// <summary>Least tokens of a context that the policy takes. Default: 2.</summary>
    public int LeastTokens { get; init; } = 2;

    /// <summary>
    /// Rows that the plan must keep. Default: keep(tokens) rows in every KV head; null: no exact number.
    /// </summary>
    public Func<ICompressionPolicy, AttentionScores, long>? Rows { get; init; } = Equal;

    /// <summary>Whether fewer rows than that may stay where layers have other numbers of KV heads, by less than one row in each head of a layer. Default: false.</summary>
    public bool IsComposite { get; init; }

    /// <summary>Whether every KV head keeps the scorer's protected positions where the budget holds them. Default: true.</summary>
    public bool KeepsProtected { get; init; } = true;

    /// <summary>Whether heads that change places change their rows with them. Default: true.</summary>
    public bool Permutes { get; init; } = true;

    /// <summary>Whether a larger ratio keeps nothing that a smaller one drops. Default: true.</summary>
    public bool IsNested { get; init; } = true;

    /// <summary>Whether every row's numbers have a say; else one that is broken may go unseen. Default: true.</summary>
    public bool LooksAtEveryRow { get; init; } = true;

    /// <summary>Whether KV heads of a layer may keep different counts. Default: false.</summary>
    public bool IsRagged { get; init; }

    /// <summary>Whether all KV heads of a layer keep the same positions. Default: as the scorer says.</summary>
    public bool? SharesPositions { get; init; }

    /// <summary>Whether rows that a budget holds may come to none by what the scores say. Default: false.</summary>
    public bool FailsByScores { get; init; }

    /// <summary>keep(tokens) rows in every KV head.</summary>
    public static long Equal(ICompressionPolicy policy, AttentionScores scores) =>
        (long)policy.Budget.EqualRows(scores.KvHeads, scores.Tokens) * scores.KvHeads.Total;

    /// <summary>keep(kvHeads * tokens) rows in every layer.</summary>
    public static long ByLayer(ICompressionPolicy policy, AttentionScores scores) =>
        Enumerable.Range(0, scores.Layers).Sum(layer => (long)policy.Budget.LayerRows(scores.KvHeads, layer, scores.Tokens));

    /// <summary>All rows of the model share the budget.</summary>
    public static long Overall(ICompressionPolicy policy, AttentionScores scores) =>
        policy.Budget.RaggedRows(scores.KvHeads, scores.Tokens).Units;

    /// <summary>What the policy ranks rows by; null: it says nothing of single rows.</summary>
    public static IRowScorer? ScorerOf(ICompressionPolicy policy) => (policy as ScorerWrapper)?.Scorer ?? policy as IRowScorer;

    public override string ToString() => Name;
}
