using System.Buffers;
using System.Numerics.Tensors;
using EdgeKV.Policies.Selection;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// Compactor, arXiv 2507.08143: the rows whose keys stand out from those of the whole context, and the rows that the tokens of their own block attend
/// to, before them and after them. First and last positions stay. Feeds the whole context once more; knows no question.
/// </summary>
/// <remarks>
/// <para>
/// a[h, j] = mean over the attention heads of KV head h of the attention that j gets inside its block (<see cref="BlockAttention"/>), times
/// ||v[j]||_2, averaged over 3 neighbours; l[h, j] = the leverage of j's key (<see cref="KeyLeverage"/>). Each has its mean over all scored rows of the
/// layer, all KV heads together, taken away and is divided by their standard deviation (divided by rows - 1, at least 1e-6); s = blend * l + a, where
/// blend is the compression ratio unless it is given (NVIDIA/kvpress, compactor_press). What the budget's rows or bytes come
/// to counts as ratio; under a wrapper its budget decides.
/// </para>
/// <para>
/// As in the reference, protected positions are left out of everything: blocks begin after the first ones, means and deviations are over the others
/// alone. Ours: a last block that is not full is a shorter block. The reference fills it with queries that attend to all equally, which adds up to 1 to the
/// sums of the last tokens, and with keys that every query sees. Ours too: pre-RoPE keys are those of the cache with the position taken out, so that they are
/// rounded as the cache rounds them.
/// </para>
/// <para>
/// Cost: some ten passes over [layers, kvHeads, tokens]. What is dear lies in the statistics: tokens * block * headSize multiplications per
/// attention head, and tokens * sketch * (headSize + sketch) per KV head.
/// </para>
/// </remarks>
public sealed record Compactor : ScoredPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "compactor";

    private const int Neighbours = 3;
    private const float LeastDeviation = 1e-6f;

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>First positions that stay and count nowhere, 0 and up. Default: 8.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Sinks
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Sinks are 0 positions and up.");
    }

    = 8;

    /// <summary>Last positions that stay and count nowhere, 0 and up. Default: 4.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Recent
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Protected last positions are 0 and up.");
    }

    = 4;

    /// <summary>Tokens of a block, 1 and up; a block must fit the session's batch. Default: 256.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1.</exception>
    public int Block
    {
        get;
        init => field = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A block has 1 token and up.");
    }

    = BlockAttention.DefaultBlock;

    /// <summary>Columns of the random matrix that keys are multiplied by, 1 to 1024. Default: 48.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public int Sketch
    {
        get;
        init => field = value is >= 1 and <= KeyLeverage.MaxSketch
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, $"A sketch has 1 to {KeyLeverage.MaxSketch} columns.");
    }

    = KeyLeverage.DefaultSketch;

    /// <summary>Which random matrices are drawn. Default: 0.</summary>
    public int Seed { get; init; }

    /// <summary>What leverage weighs beside attention, 0 (nothing) to 1000; null: the compression ratio. Default: null.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public double? Blend
    {
        get;
        init => field = value is null or (>= 0 and <= 1000)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A blend is 0 to 1000.");
    }

    /// <inheritdoc/>
    public override ScoreRequest Request => new(Attention, new ValueNorms(), Leverage);

    private BlockAttention Attention => new(Block, Sinks, Recent);

    private KeyLeverage Leverage => new(Sketch, Seed, Sinks, Recent);

    /// <inheritdoc/>
    public override ProtectedRows Protect(int tokens, int rows) => new(Sinks, Recent);

    /// <inheritdoc/>
    public override IRowScorer ForRatio(double ratio) => Blend is null ? this with { Blend = ratio } : this;

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        destination.Clear();
        int first = Math.Min(Sinks, scores.Tokens);
        int scored = Math.Max(0, scores.Tokens - first - Recent);
        if (scored == 0)
        {
            return;
        }

        Statistic attention = Attention;
        Statistic leverage = Leverage;
        float[] rented = ArrayPool<float>.Shared.Rent(scores.Tokens);
        Span<float> part = rented.AsSpan(first, scored);
        long rows = (long)scores.KvHeads[layer] * scored;
        double attentionSum = 0;
        double leverageSum = 0;
        for (int head = 0; head < scores.KvHeads[layer]; head++)
        {
            scores.CopyGroupMean(attention, layer, head, rented);
            TensorPrimitives.Multiply(part, scores.ValueNorms(layer, head).Slice(first, scored), part);
            Span<float> row = destination.Slice(head * scores.Tokens + first, scored);
            AveragePool.Smooth(part, Neighbours, row);
            attentionSum += TensorPrimitives.Sum<float>(row);
            leverageSum += TensorPrimitives.Sum(scores.Values(leverage, layer, head).Slice(first, scored));
        }

        float leverageMean = (float)(leverageSum / rows);
        double attentionSquares = 0;
        double leverageSquares = 0;
        for (int head = 0; head < scores.KvHeads[layer]; head++)
        {
            Span<float> row = destination.Slice(head * scores.Tokens + first, scored);
            TensorPrimitives.Subtract(row, (float)(attentionSum / rows), row);
            attentionSquares += TensorPrimitives.SumOfSquares<float>(row);
            TensorPrimitives.Subtract(scores.Values(leverage, layer, head).Slice(first, scored), leverageMean, part);
            leverageSquares += TensorPrimitives.SumOfSquares<float>(part);
        }

        double blend = Blend ?? RatioOf(scores, cost: default);
        for (int head = 0; head < scores.KvHeads[layer]; head++)
        {
            Span<float> row = destination.Slice(head * scores.Tokens + first, scored);
            TensorPrimitives.Divide(row, Deviation(attentionSquares, rows), row);
            TensorPrimitives.Subtract(scores.Values(leverage, layer, head).Slice(first, scored), leverageMean, part);
            TensorPrimitives.MultiplyAdd(part, (float)(blend / Deviation(leverageSquares, rows)), row, row);
        }

        ArrayPool<float>.Shared.Return(rented);
    }

    // As many rows as one deviate by nothing.
    private static float Deviation(double squares, long rows) =>
        MathF.Max(LeastDeviation, (float)Math.Sqrt(squares / Math.Max(1, rows - 1)));
}
