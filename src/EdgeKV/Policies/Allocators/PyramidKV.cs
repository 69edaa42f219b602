using EdgeKV.Models;
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
/// so that by ratio the sum may pass layers * b by half a row a layer; bounds in rows and bytes are not passed: lower layers give up a row first. Ours:
/// where layers have other numbers of KV heads, the line is moved so that the mean over all KV heads is b, and the sum never passes the budget.
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

    /// <inheritdoc/>
    public override void EnsureScorable(int tokens) => _scorer.EnsureScorable(tokens);

    /// <inheritdoc/>
    public override bool RowsDiffer(HeadLayout kvHeads, int tokens, RowCost cost = default)
    {
        int[] rows = RowsOfLayers(kvHeads, tokens, cost).Rows;
        return rows.AsSpan().ContainsAnyExcept(rows[0]);
    }

    private protected override long MostRows(HeadLayout kvHeads, int tokens, RowCost cost) => RowsOfLayers(kvHeads, tokens, cost).Rows.Sum(rows => (long)rows);

    private protected override CompressionPlan Share(AttentionScores scores, RowCost cost)
    {
        (int[] rows, RowLimit? limit) = RowsOfLayers(scores.KvHeads, scores.Tokens, cost);
        using var ranked = RankedRows.Of(_scorer, scores, EqualRows(scores, cost));
        return ranked.Plan(CompositeCounts.Of(scores.KvHeads, rows), limit);
    }

    // Rows of every KV head of each layer, and the limit that they must keep; null where halves may be rounded up.
    private (int[] Rows, RowLimit? Limit) RowsOfLayers(HeadLayout kvHeads, int tokens, RowCost cost)
    {
        int rows = Budget.EqualRows(kvHeads, tokens, cost);
        double mean = Budget.Ratio is { } ratio ? tokens * (1 - ratio) : rows;
        RowLimit limit = Budget.CompositeRows(kvHeads, tokens, cost);
        int[] layers = Rows(kvHeads.Layers, tokens, mean, limit);
        if (Budget.Ratio is not null && kvHeads.IsUniform)
        {
            return (layers, null);
        }

        long over = Enumerable.Range(0, layers.Length).Sum(layer => (layers[layer] - rows) * limit.PerRow(layer));
        for (int layer = 0; over > 0; layer = (layer + 1) % layers.Length)
        {
            int taken = Math.Min(1, layers[layer]);
            layers[layer] -= taken;
            over -= taken * limit.PerRow(layer);
        }

        return (layers, limit);
    }

    private int[] Rows(int layers, int tokens, double mean, RowLimit limit)
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

        // Where layers have other numbers of KV heads, the line is moved so that its mean over all of them stays what it is.
        long uneven = Enumerable.Range(0, layers).Sum(layer => limit.PerRow(layer) * (2L * layer - (layers - 1)));
        double moved = falls && layers > 1 ? (high - low) * uneven / (2.0 * (layers - 1) * Enumerable.Range(0, layers).Sum(limit.PerRow)) : 0;
        for (int layer = 0; layer < layers; layer++)
        {
            double share = falls && layers > 1 ? high - layer * ((high - low) / (layers - 1)) + moved : mean;
            rows[layer] = Math.Clamp((int)Math.Round(share, MidpointRounding.ToEven), 0, tokens);
        }

        return rows;
    }
}
