using System.Buffers;
using System.Numerics.Tensors;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Selection;
using EdgeKV.Profiles;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// CompressKV, arXiv 2508.02401: rows that a few attention heads of each layer attend to, those that find meaning again (semantic retrieval heads),
/// and more rows for layers that suffer more from losing them. Needs a calibration. All KV heads of a layer keep the same positions.
/// </summary>
/// <remarks>
/// <para>
/// s[j] = sum over the last w queries of their weights on j, average pooled over 5 neighbours, mean over the layer's calibrated heads; the last w
/// rows stay in any case. Knows the question where it ends the context.
/// </para>
/// <para>
/// Rows of the layers (Algorithm 1), with the budget's B rows per layer on average, m = 32 and M = 3B, neither beyond the context nor m beyond B:
/// layer l gets round(m + E_l * (B - m) * layers), rounded half to even, within m and M. What is left goes row by row to the layers below
/// M, the largest error first; what is too much is taken row by row from the layers above m, the smallest error first. The paper moves one
/// layer until its bound; this goes round them, as the authors' code does. Ties go to the lower layer, then the earlier position.
/// </para>
/// </remarks>
public sealed record CompressKV : RowPolicy, IRowScorer, ICalibratedPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "compresskv";

    private const int LeastRows = 32;
    private const int MostTimesMean = 3;

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>The model's heads and layer errors. Has no default: it must be given, or come from the model's profile.</summary>
    public CompressKVCalibration? Calibration { get; init; }

    /// <summary>Last tokens whose queries judge, and which stay, 1 and up. Default: 8.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1.</exception>
    public int Window
    {
        get;
        init => field = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A window is 1 token and up.");
    }

    = 8;

    /// <inheritdoc cref="SnapKV.Kernel"/>
    public int Kernel
    {
        get;
        init => field = value >= 1 && value % 2 == 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A kernel is an odd number of 1 and up.");
    }

    = 5;

    /// <inheritdoc/>
    public override ScoreRequest Request
    {
        get
        {
            _ = Given;
            return new ScoreRequest(Attention);
        }
    }

    /// <inheritdoc/>
    public bool SharesPositions => true;

    private WindowAttention Attention => new(Window);

    private CompressKVCalibration Given => Calibration
        ?? throw new ArgumentException($"{Name} needs the model's {nameof(Calibration)}: its heads and layer errors. `edgekv calibrate MODEL --for {PolicyName}` finds them for the model's profile.");

    /// <inheritdoc/>
    IReadOnlyList<string> ICalibratedPolicy.MissingTables => Calibration is null ? [PolicyName] : [];

    /// <inheritdoc/>
    ICalibratedPolicy ICalibratedPolicy.WithTables(ScoreProfile profile) =>
        this with { Calibration = CompressKVCalibration.Of(ICalibratedPolicy.Table(profile, PolicyName)) };

    /// <inheritdoc/>
    public ProtectedRows Protect(int tokens, int rows) => new(0, Window);

    /// <inheritdoc/>
    public void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        HeadsByLayer heads = Given.Heads;
        heads.ThrowIfNotOf(scores.Heads, Name);
        int scored = Math.Max(0, scores.Tokens - Window);
        Span<float> mean = destination[..scores.Tokens];
        mean.Clear();
        float[] rented = ArrayPool<float>.Shared.Rent(scores.Tokens);
        foreach (int head in heads[layer])
        {
            Span<float> pooled = rented.AsSpan(0, scored);
            AveragePool.Smooth(scores.Values(Attention, layer, head)[..scored], Kernel, pooled);
            TensorPrimitives.Add(mean[..scored], pooled, mean[..scored]);
        }

        ArrayPool<float>.Shared.Return(rented);
        TensorPrimitives.Divide(mean, heads[layer].Length, mean);
        for (int head = 1; head < scores.KvHeads[layer]; head++)
        {
            mean.CopyTo(destination.Slice(head * scores.Tokens, scores.Tokens));
        }
    }

    /// <summary>Algorithm 1: the rows of every layer, together as much as <paramref name="mean"/> rows in each, but for less than a row.</summary>
    /// <param name="errors">The layers' errors, together 1.</param>
    /// <param name="mean">Rows per layer, 0 to <paramref name="tokens"/>.</param>
    /// <param name="tokens">Tokens of the context: the most rows of a layer.</param>
    /// <param name="perRow">What a composite row of a layer takes of the budget, 1 and up.</param>
    internal static int[] ShareRows(ReadOnlySpan<double> errors, int mean, int tokens, Func<int, long> perRow)
    {
        int least = Math.Min(LeastRows, mean);
        int most = (int)Math.Min((long)MostTimesMean * mean, tokens);
        int[] rows = new int[errors.Length];
        long left = 0;
        for (int layer = 0; layer < rows.Length; layer++)
        {
            double more = Math.Round(errors[layer] * (mean - least) * errors.Length, MidpointRounding.ToEven);
            rows[layer] = (int)Math.Clamp(least + more, least, most);
            left += (mean - rows[layer]) * perRow(layer);
        }

        double[] ranked = errors.ToArray();
        IEnumerable<int> layers = Enumerable.Range(0, rows.Length);
        int[] order = [.. left > 0 ? layers.OrderByDescending(layer => ranked[layer]) : layers.OrderBy(layer => ranked[layer])];

        // The mean lies between both bounds, so some layer is always above its least rows while there are too many.
        for (int i = 0; left < 0; i = (i + 1) % order.Length)
        {
            Move(order[i], rows[order[i]] > least ? -1 : 0);
        }

        for (int i = 0, idle = 0; left > 0 && idle < order.Length; i = (i + 1) % order.Length)
        {
            int more = rows[order[i]] < most && perRow(order[i]) <= left ? 1 : 0;
            idle = more > 0 ? 0 : idle + 1;
            Move(order[i], more);
        }

        return rows;

        void Move(int layer, int step)
        {
            rows[layer] += step;
            left -= step * perRow(layer);
        }
    }

    private protected override bool IsRagged => true;

    private protected override long MostRows(HeadLayout kvHeads, int tokens, RowCost cost) => Budget.EqualRows(kvHeads, tokens, cost);

    private protected override CompressionPlan Share(AttentionScores scores, RowCost cost)
    {
        CompressKVCalibration given = Given;
        given.Heads.ThrowIfNotOf(scores.Heads, Name);
        int mean = EqualRows(scores, cost);
        RowLimit limit = Budget.CompositeRows(scores.KvHeads, scores.Tokens, cost);
        int[] rows = ShareRows(given.LayerErrors, mean, scores.Tokens, limit.PerRow);
        using var ranked = RankedRows.Of(this, scores, mean);
        return ranked.Plan(CompositeCounts.Of(scores.KvHeads, rows), limit);
    }
}
