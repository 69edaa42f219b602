using EdgeKV.Planning;
using EdgeKV.Policies.Scorers;
using EdgeKV.Policies.Selection;
using EdgeKV.Profiles;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Allocators;

/// <summary>
/// LU-KV, arXiv 2602.08585: every KV head of every layer has its own share of the budget, from a curve that was found once per model, and fills it by
/// any scorer's scores. Ragged.
/// </summary>
/// <remarks>
/// <para>
/// The curve says for 99 ratios what share of its rows every KV head loses (<see cref="LUKVCurves"/>). NVIDIA/kvpress (lukv_press) reads it at the nearest
/// percent. Ours: between two percents a head's share lies on the straight line between both; at 0 % nothing is lost, at 100 % all. Rows: there each
/// layer's own shares are rounded down and its missing rows go to the largest fractions, so that the budget is met but for rounding; ours: so over all
/// layers together, after the heads' rows were scaled by one factor where they do not add up to the budget, which is then met exactly. Of equal
/// fractions the lower layer, then the lower KV head gets the row.
/// </para>
/// <para>
/// First and last positions rank above all others, with those that the scorer protects. There every head keeps at least 1 row; ours: at least its first
/// and last positions, where the budget holds them for all heads, else an equal part of it. Ties go to the earlier position.
/// </para>
/// </remarks>
public sealed record LUKV : RaggedWrapper
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "lu-kv";

    // What kvpress adds to the expected attention before values weigh it, here alone.
    private const double DefaultEpsilon = 0.02;

    /// <summary>LU-KV over expected attention with an epsilon of 0.02, as in kvpress; the scorer by its name alone has an epsilon of 0.</summary>
    public LUKV()
        : base(DefaultScorer)
    {
    }

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>The model's curves. Have no default: they must be given, or come from the model's profile.</summary>
    public LUKVCurves? Curves { get; init; }

    /// <summary>First positions that every KV head keeps, 0 and up. Default: 4.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Sinks
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "First rows are 0 and up.");
    }

    = 4;

    /// <summary>Last positions that every KV head keeps, 0 and up. Default: 1.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Recent
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Last rows are 0 and up.");
    }

    = 1;

    /// <inheritdoc/>
    public override ScoreRequest Request
    {
        get
        {
            _ = Given;
            return Scorer.Request;
        }
    }

    /// <summary>Expected attention as kvpress has it here.</summary>
    internal static ExpectedAttention DefaultScorer { get; } = new() { Epsilon = DefaultEpsilon };

    private protected override IReadOnlyList<string> Missing => Curves is null ? [PolicyName, .. base.Missing] : base.Missing;

    private LUKVCurves Given => Curves
        ?? throw new ArgumentException($"{Name} needs the model's {nameof(Curves)}: what share of its rows each KV head loses. `edgekv calibrate MODEL --for {PolicyName}` finds them for the model's profile.");

    /// <summary>What is protected of every KV head: the policy's own positions and those of a scorer.</summary>
    /// <param name="scorer">The scorer.</param>
    /// <param name="tokens">Tokens of the context.</param>
    /// <param name="rows">Rows that a KV head keeps, on average.</param>
    internal ProtectedRows Protect(IRowScorer scorer, int tokens, int rows)
    {
        ProtectedRows own = scorer.Protect(tokens, rows);
        return new ProtectedRows(Math.Max(Sinks, own.First), Math.Max(Recent, own.Last));
    }

    /// <summary>
    /// Rows of every KV head, together the budget but for less than a row: in the proportion of their shares, each within a least number and all tokens.
    /// </summary>
    /// <param name="shares">What share of its rows each KV head keeps, 0 to 1.</param>
    /// <param name="perRow">What a row of each KV head takes of the budget, 1 and up.</param>
    /// <param name="budget">For rows of all KV heads, at least <paramref name="least"/> of each and at most <paramref name="tokens"/>.</param>
    /// <param name="tokens">Tokens of the context.</param>
    /// <param name="least">Rows that every KV head keeps at least.</param>
    internal static int[] ShareRows(ReadOnlySpan<double> shares, long[] perRow, long budget, int tokens, int least)
    {
        // Beyond it every head that has a share at all is full.
        const double LargestScale = 1 << 30;
        const int Halvings = 64;
        double low = 0;
        double high = 1;
        while (high < LargestScale && Sum(shares, high) <= budget)
        {
            low = high;
            high *= 2;
        }

        for (int i = 0; i < Halvings; i++)
        {
            double middle = (low + high) / 2;
            (low, high) = Sum(shares, middle) <= budget ? (middle, high) : (low, middle);
        }

        int[] counts = new int[shares.Length];
        double[] fractions = new double[shares.Length];
        long left = budget;
        for (int list = 0; list < counts.Length; list++)
        {
            double rows = Rows(shares[list], low);
            counts[list] = (int)rows;
            fractions[list] = rows - counts[list];
            left -= counts[list] * perRow[list];
        }

        // A head is full where its share was large or the other heads have none: then its rows go on to the next.
        int[] order = [.. Enumerable.Range(0, counts.Length).OrderByDescending(list => fractions[list])];
        for (int i = 0, idle = 0; left > 0 && idle < order.Length; i = (i + 1) % order.Length)
        {
            int list = order[i];
            int more = counts[list] < tokens && perRow[list] <= left ? 1 : 0;
            counts[list] += more;
            left -= more * perRow[list];
            idle = more > 0 ? 0 : idle + 1;
        }

        return counts;

        double Rows(double share, double scale) => Math.Clamp(share * scale * tokens, least, tokens);

        double Sum(ReadOnlySpan<double> shares, double scale)
        {
            double sum = 0;
            for (int list = 0; list < shares.Length; list++)
            {
                sum += perRow[list] * Rows(shares[list], scale);
            }

            return sum;
        }
    }

    private protected override ScorerWrapper Complete(ScoreProfile profile) => this with
    {
        Curves = Curves ?? LUKVCurves.Of(ICalibratedPolicy.Table(profile, PolicyName)),
        Scorer = ICalibratedPolicy.Complete(Scorer, profile),
    };

    private protected override bool IsRagged => true;

    private protected override CompressionPlan Share(AttentionScores scores, RowCost cost)
    {
        LUKVCurves curves = Given;
        curves.ThrowIfNotOf(scores.KvHeads, Name);
        RowLimit budget = Budget.RaggedRows(scores.KvHeads, scores.Tokens, cost);
        double[] shares = new double[scores.KvHeads.Total];
        long[] perRow = [.. Enumerable.Range(0, shares.Length).Select(list => budget.PerRow(scores.KvHeads.At(list).Layer))];
        curves.CopyKept(Scorer.Name, 1 - budget.Units / ((double)budget.PerToken * scores.Tokens), shares);
        int mean = (int)(budget.Units / budget.PerToken);
        int least = (int)Math.Min((long)Sinks + Recent, mean);
        int[] counts = ShareRows(shares, perRow, budget.Units, scores.Tokens, least);
        using var ranked = RankedRows.Of(ScorerFor(scores, cost), scores, _ => Protect(Scorer, scores.Tokens, mean));
        return Finish(ranked, counts, scores.KvHeads, budget);
    }
}
