using EdgeKV.Planning;
using EdgeKV.Policies.Scorers;
using EdgeKV.Policies.Selection;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Allocators;

/// <summary>
/// PyramidKV, arXiv 2406.02069: SnapKV's scores, and budgets that fall evenly from the first layer to the last. All KV heads of a layer keep
/// equally many rows.
/// </summary>
/// <remarks>
/// With b = tokens * (1 - ratio), not rounded: the last layer's budget is lo = b / beta and the first one's hi = 2b - lo; a hi of tokens - window
/// and more becomes tokens - window, and lo = 2b - hi. Unless tokens >= hi >= lo >= window every layer keeps round(b). Else layer l keeps
/// round(hi - l * (hi - lo) / (layers - 1)), the window included. Rounding is half to even, as in the reference (NVIDIA/kvpress, pyramidkv_press),
/// so that by ratio the sum may pass layers * b by half a row a layer; bounds in rows and bytes are not passed: lower layers give up a row first.
/// </remarks>
public sealed record PyramidKV : RowPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "pyramidkv";

    private readonly SnapKV _scorer = new();

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <inheritdoc cref="SnapKV.Window"/>
    public int Window
    {
        get => _scorer.Window;
        init => _scorer = _scorer with { Window = value };
    }

    /// <inheritdoc cref="SnapKV.Kernel"/>
    public int Kernel
    {
        get => _scorer.Kernel;
        init => _scorer = _scorer with { Kernel = value };
    }

    /// <summary>How much steeper than flat: the mean budget by the last layer's, 1 and up. Default: 20.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1 or not finite.</exception>
    public double Beta
    {
        get;
        init => field = value >= 1 && double.IsFinite(value)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Beta is a finite number of 1 and up.");
    }

    = 20;

    /// <inheritdoc/>
    public override ScoreRequest Request => _scorer.Request;

    private protected override CompressionPlan Share(AttentionScores scores, RowCost cost)
    {
        int rows = EqualRows(scores, cost);
        double mean = Budget.Ratio is { } ratio ? scores.Tokens * (1 - ratio) : rows;
        int[] layers = Rows(scores.Layers, scores.Tokens, mean);
        long total = layers.Sum(count => (long)count);
        long most = Budget.Ratio is null ? (long)rows * scores.Layers : total;
        for (int layer = 0; total > most; layer = (layer + 1) % layers.Length)
        {
            int taken = Math.Min(1, layers[layer]);
            layers[layer] -= taken;
            total -= taken;
        }

        int[] counts = new int[scores.Layers * scores.KvHeads];
        for (int list = 0; list < counts.Length; list++)
        {
            counts[list] = layers[list / scores.KvHeads];
        }

        using var ranked = RankedRows.Of(_scorer, scores, rows);
        return ranked.Plan(counts, most * scores.KvHeads);
    }

    private int[] Rows(int layers, int tokens, double mean)
    {
        double low = mean / Beta;
        double high = 2 * mean - low;
        if (high >= tokens - Window)
        {
            high = tokens - Window;
            low = 2 * mean - high;
        }

        int[] rows = new int[layers];
        bool falls = tokens >= high && high >= low && low >= Window;
        for (int layer = 0; layer < layers; layer++)
        {
            double share = falls && layers > 1 ? high - layer * ((high - low) / (layers - 1)) : mean;
            rows[layer] = Math.Clamp((int)Math.Round(share, MidpointRounding.ToEven), 0, tokens);
        }

        return rows;
    }
}
