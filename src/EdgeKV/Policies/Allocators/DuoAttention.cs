using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Selection;
using EdgeKV.Profiles;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Allocators;

/// <summary>
/// DuoAttention, arXiv 2410.10819: KV heads that need distant rows keep all, the others only the first and the last rows. Looks at no attention: gates
/// learned once per model tell the heads apart. Ragged.
/// </summary>
/// <remarks>
/// The round(layers * kvHeads * share) KV heads of lowest gate keep first and last rows, rounded half to even; of equal gates the lower layer, then
/// the lower KV head keeps all. A context no longer than first and last rows together stays whole.
/// </remarks>
public sealed record DuoAttention : RowPolicy, ICalibratedPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "duo-attention";

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>The model's gates: a file of the authors' by name, or those of the model's profile, which are a stand-in. Has no default.</summary>
    public DuoAttentionGates? Gates { get; init; }

    /// <summary>
    /// The share of KV heads that keep only first and last rows, 0 to 1. Default: null, as many as the budget needs. With a share the default
    /// budget is ratio 0, and a given budget that it passes is refused.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public double? StreamingShare
    {
        get;
        init => field = value is null or (>= 0 and <= 1)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A share of the KV heads is 0 to 1.");
    }

    /// <summary>First rows that stay, 0 and up: the gate file's sink_size. Default: 128.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Sinks
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "First rows are 0 and up.");
    }

    = 128;

    /// <summary>Last rows that stay, 0 and up: the gate file's recent_size. Default: 256.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Recent
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Last rows are 0 and up.");
    }

    = 256;

    /// <inheritdoc/>
    public override ScoreRequest Request
    {
        get
        {
            _ = Given;
            return ScoreRequest.None;
        }
    }

    private DuoAttentionGates Given => Gates
        ?? throw new ArgumentException($"{Name} needs the model's {nameof(Gates)}: gates=FILE reads a file of them, `edgekv calibrate MODEL --for {PolicyName}` finds a stand-in for the model's profile.");

    /// <inheritdoc/>
    IReadOnlyList<string> ICalibratedPolicy.MissingTables => Gates is null ? [PolicyName] : [];

    /// <inheritdoc/>
    ICalibratedPolicy ICalibratedPolicy.WithTables(ScoreProfile profile) =>
        this with { Gates = DuoAttentionGates.Of(ICalibratedPolicy.Table(profile, PolicyName)) };

    private ProtectedRows Ends => new(Sinks, Recent);

    private protected override Budget DefaultBudget => StreamingShare is null ? base.DefaultBudget : Budget.FromRatio(0);

    private protected override bool IsRagged => true;

    private protected override long MostRows(HeadLayout kvHeads, int tokens, RowCost cost)
    {
        RowLimit budget = Budget.RaggedRows(kvHeads, tokens, cost);
        return StreamingRows.CountWithin(StreamingRows.Counts(tokens, Streaming(kvHeads, tokens, budget), Ends), budget, Name);
    }

    private protected override CompressionPlan Share(AttentionScores scores, RowCost cost)
    {
        RowLimit budget = Budget.RaggedRows(scores.KvHeads, scores.Tokens, cost);
        return StreamingRows.Plan(scores.KvHeads, scores.Tokens, Streaming(scores.KvHeads, scores.Tokens, budget), Ends, budget, Name);
    }

    // The KV heads that keep only their ends.
    private bool[] Streaming(HeadLayout kvHeads, int tokens, RowLimit budget)
    {
        DuoAttentionGates gates = Given;
        if (!gates.KvHeads.Equals(kvHeads))
        {
            throw new PlanException(
                $"{Name} has {gates}, but the scores are of {kvHeads} KV heads: give those of this model.");
        }

        bool[] streaming = new bool[kvHeads.Total];
        int ends = (int)Math.Min((long)Sinks + Recent, tokens);
        double[] values = gates.Values.ToArray();
        int[] order = [.. Enumerable.Range(0, streaming.Length).OrderBy(list => values[list]).ThenByDescending(list => list)];
        int count = StreamingShare is { } share
            ? (int)Math.Round(streaming.Length * share, MidpointRounding.ToEven)
            : StreamingRows.Fewest(
                Array.ConvertAll(order, list => budget.PerRow(kvHeads.At(list).Layer)), tokens, ends, budget, Name);
        foreach (int list in order.Take(count))
        {
            streaming[list] = true;
        }

        return streaming;
    }
}
