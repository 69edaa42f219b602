using EdgeKV.Planning;
using EdgeKV.Policies.Selection;
using EdgeKV.Scoring;

namespace EdgeKV.Policies;

/// <summary>
/// RazorAttention's split of heads, arXiv 2407.15891: retrieval heads keep all rows, the others the first rows and a share of the last ones. Looks at no
/// attention: the heads are found once per model. Ragged.
/// </summary>
/// <remarks>
/// The paper adds a compensation row to every other head, whose key and value are means of the dropped ones; this has none, since a row would need
/// a weight of its own, and so loses more. First and last rows: the first 4, and the last max(4000, tokens / 5), rounded down.
/// </remarks>
public sealed record RazorAttention : RowPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "razor-attention";

    /// <summary>A policy whose heads decide, not a budget.</summary>
    public RazorAttention()
        : base(ratio: 0)
    {
    }

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>KV heads of each layer that keep all rows: one is if any attention head that it serves finds text again. Has no default: it must be given.</summary>
    public HeadsByLayer? Heads { get; init; }

    /// <summary>First rows that the other heads keep, 0 and up. Default: 4.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Sinks
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "First rows are 0 and up.");
    }

    = 4;

    /// <summary>Last rows that the other heads keep at least, 0 and up. Default: 4000.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Recent
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Last rows are 0 and up.");
    }

    = 4000;

    /// <summary>What the other heads' last rows are of a long context: one in so many tokens, 1 and up. Default: 5.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1.</exception>
    public int RecentDivisor
    {
        get;
        init => field = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "One in so many tokens is 1 and up.");
    }

    = 5;

    /// <inheritdoc/>
    public override ScoreRequest Request
    {
        get
        {
            _ = Given;
            return ScoreRequest.None;
        }
    }

    private HeadsByLayer Given => Heads ?? throw new ArgumentException($"{Name} needs the model's {nameof(Heads)}: its KV heads that keep all rows. Only code can give them: set the property.");

    private protected override CompressionPlan Share(AttentionScores scores, RowCost cost)
    {
        HeadsByLayer heads = Given;
        heads.ThrowIfNotOf(scores.Layers, scores.KvHeads, Name);
        bool[] streaming = new bool[scores.Layers * scores.KvHeads];
        streaming.AsSpan().Fill(true);
        for (int layer = 0; layer < scores.Layers; layer++)
        {
            foreach (int head in heads[layer])
            {
                streaming[layer * scores.KvHeads + head] = false;
            }
        }

        var ends = new ProtectedRows(Sinks, Math.Max(Recent, scores.Tokens / RecentDivisor));
        return StreamingRows.Plan(scores, streaming, ends, Budget.RaggedRows(scores.Layers, scores.KvHeads, scores.Tokens, cost), Name);
    }
}
