using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// Scores rows by the largest attention that a token of a task set pays to them, mean over the attention heads that a KV head serves (after KVzip, arXiv
/// 2505.23416, which takes the largest over these heads too). Costs the pass of <see cref="TaskAttention"/>.
/// </summary>
/// <remarks>Protects nothing unless told otherwise: such scores see attention sinks themselves.</remarks>
public sealed record TaskScorer : AttentionScorer
{
    /// <summary>Attention of the context repeated.</summary>
    public TaskScorer()
        : base(sinks: 0, recent: 0)
    {
    }

    /// <summary>The tokens whose attention judges the context: repeated, a question, its own last queries, or any texts. Default: the context repeated.</summary>
    /// <exception cref="ArgumentNullException">The value is null.</exception>
    public TaskSet TaskSet
    {
        get;
        init => field = value ?? throw new ArgumentNullException(nameof(value));
    }

    = TaskSet.Repeat;

    /// <inheritdoc/>
    public override string Name => TaskSet.Name;

    /// <inheritdoc/>
    public override ScoreRequest Request => new(Attention);

    /// <inheritdoc/>
    public override bool AreLogarithms => false;

    private TaskAttention Attention => new(TaskSet, AttentionAggregate.Max);

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        TaskAttention attention = Attention;
        for (int head = 0; head < scores.KvHeads[layer]; head++)
        {
            scores.CopyGroupMean(attention, layer, head, destination.Slice(head * scores.Tokens, scores.Tokens));
        }
    }
}
