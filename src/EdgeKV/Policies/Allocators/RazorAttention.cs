using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Selection;
using EdgeKV.Profiles;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Allocators;

/// <summary>
/// RazorAttention's split of heads, arXiv 2407.15891: retrieval heads keep all rows, the others the first rows and a share of the last ones. Looks at no
/// attention: the heads are found once per model. Ragged.
/// </summary>
/// <remarks>
/// The paper adds a compensation row to every other head, whose key and value are means of the dropped ones; this has none, since a row would need
/// a weight of its own, and so loses more. A profile's table has two scores of every KV head: the round(0.14 * layers * kvHeads) with the best induction
/// score and the round(0.01 * layers * kvHeads) with the best echo score keep all, rounded half to even, as msModelSlim takes them. First and last rows: the first 4, and the last max(4000, tokens / 5), rounded down.
/// </remarks>
public sealed record RazorAttention : RowPolicy, ICalibratedPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "razor-attention";

    // Arrays of a profile's table, and the shares of all KV heads that are retrieval heads by them.
    internal const string Echo = "echo";
    internal const string Induction = "induction";
    private const double EchoShare = 0.01;
    private const double InductionShare = 0.14;

    /// <summary>A policy whose heads decide, not a budget.</summary>
    public RazorAttention()
        : base(ratio: 0)
    {
    }

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>KV heads of each layer that keep all rows: one is if any attention head that it serves finds text again. Has no default: it must be given, or come from the model's profile.</summary>
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

    private HeadsByLayer Given => Heads ?? throw new ArgumentException($"{Name} needs the model's {nameof(Heads)}: its KV heads that keep all rows. `edgekv calibrate MODEL --for {PolicyName}` finds them for the model's profile.");

    /// <inheritdoc/>
    IReadOnlyList<string> ICalibratedPolicy.MissingTables => Heads is null ? [PolicyName] : [];

    /// <inheritdoc/>
    ICalibratedPolicy ICalibratedPolicy.WithTables(ScoreProfile profile)
    {
        ProfileTable table = ICalibratedPolicy.Table(profile, PolicyName);
        (HeadLayout kvHeads, ReadOnlyMemory<float> echo) = table.ByHead(Echo);
        (HeadLayout others, ReadOnlyMemory<float> induction) = table.ByHead(Induction);
        return kvHeads.Equals(others)
            ? this with { Heads = RetrievalHeads(echo.ToArray(), induction.ToArray(), kvHeads) }
            : throw new ProfileException($"The profile's table {PolicyName} has {Echo} and {Induction} scores of different heads: make it anew.");
    }

    /// <summary>The KV heads that keep all rows, by their scores; of equal ones the lower layer, then the lower KV head.</summary>
    /// <param name="echo">One of each KV head.</param>
    /// <param name="induction">One of each KV head.</param>
    /// <param name="kvHeads">KV heads of each layer.</param>
    internal static HeadsByLayer RetrievalHeads(float[] echo, float[] induction, HeadLayout kvHeads)
    {
        HashSet<int> chosen = [.. Best(induction, InductionShare), .. Best(echo, EchoShare)];
        return new HeadsByLayer(Enumerable.Range(0, kvHeads.Layers).Select(
            layer => Enumerable.Range(0, kvHeads[layer]).Where(head => chosen.Contains(kvHeads.First(layer) + head))));

        static IEnumerable<int> Best(float[] scores, double share) => Enumerable.Range(0, scores.Length)
            .OrderByDescending(list => scores[list])
            .Take((int)Math.Round(share * scores.Length, MidpointRounding.ToEven));
    }

    private protected override bool IsRagged => true;

    private protected override long MostRows(HeadLayout kvHeads, int tokens, RowCost cost) =>
        StreamingRows.CountWithin(StreamingRows.Counts(tokens, Streaming(kvHeads), Ends(tokens)), Budget.RaggedRows(kvHeads, tokens, cost), Name);

    private protected override CompressionPlan Share(AttentionScores scores, RowCost cost) => StreamingRows.Plan(
        scores.KvHeads, scores.Tokens, Streaming(scores.KvHeads), Ends(scores.Tokens), Budget.RaggedRows(scores.KvHeads, scores.Tokens, cost), Name);

    private ProtectedRows Ends(int tokens) => new(Sinks, Math.Max(Recent, tokens / RecentDivisor));

    // The KV heads that keep only their ends.
    private bool[] Streaming(HeadLayout kvHeads)
    {
        HeadsByLayer heads = Given;
        heads.ThrowIfNotOf(kvHeads, Name);
        bool[] streaming = new bool[kvHeads.Total];
        streaming.AsSpan().Fill(true);
        for (int layer = 0; layer < kvHeads.Layers; layer++)
        {
            foreach (int head in heads[layer])
            {
                streaming[kvHeads.First(layer) + head] = false;
            }
        }

        return streaming;
    }
}
