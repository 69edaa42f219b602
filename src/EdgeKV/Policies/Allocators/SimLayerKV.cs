using System.Numerics.Tensors;
using EdgeKV.Models;
using EdgeKV.Numerics;
using EdgeKV.Planning;
using EdgeKV.Policies.Selection;
using EdgeKV.Scoring;

namespace EdgeKV.Policies.Allocators;

/// <summary>
/// SimLayerKV, arXiv 2410.13846: lazy layers, whose last query attends to little else than the first and the last rows, keep only those; the other
/// layers keep all. Knows the question where it ends the context.
/// </summary>
/// <remarks>
/// A layer's laziness is the attention of the context's last query, mean over all attention heads, to the first 4 and the last 1024 rows
/// before its own. Lazy layers keep the first 4 and the last 1023 rows, as NVIDIA/kvpress, simlayerkv_press, does. The paper has a threshold
/// for each model (Llama 3: 0.9, Llama 2: 0.65, Mistral: 0.8, Qwen: 0.85); ours: without one the laziest layers, as many as the budget needs,
/// of equal ones the lower. A context of 1029 tokens, <see cref="Sinks"/> + <see cref="Recent"/> + 1, and less stays whole.
/// </remarks>
public sealed record SimLayerKV : RowPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "simlayerkv";

    private static readonly Statistic LastQuery = new WindowAttention(1);

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>
    /// The laziness above which a layer is lazy, 0 to 1; 1: none is. Default: null, as many layers as the budget needs. With a threshold
    /// the default budget is ratio 0, and a given budget that it passes is refused.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public double? Threshold
    {
        get;
        init => field = value is null or (>= 0 and <= 1)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A threshold is a share of the attention: 0 to 1.");
    }

    /// <summary>First rows that a lazy layer keeps, 0 and up. Default: 4.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Sinks
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "First rows are 0 and up.");
    }

    = 4;

    /// <summary>Last rows before the last query whose attention counts, 1 and up; a lazy layer keeps one fewer of all its last rows. Default: 1024.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1.</exception>
    public int Recent
    {
        get;
        init => field = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Last rows are 1 and up.");
    }

    = 1024;

    /// <inheritdoc/>
    public override ScoreRequest Request => new(LastQuery);

    private protected override Budget DefaultBudget => Threshold is null ? base.DefaultBudget : Budget.FromRatio(0);

    private protected override bool IsRagged => true;

    private protected override long MostRows(HeadLayout kvHeads, int tokens, RowCost cost)
    {
        RowLimit budget = Budget.CompositeRows(kvHeads, tokens, cost);
        if (Threshold is not null)
        {
            return budget.MostRows;
        }

        long[] costs = [.. Enumerable.Range(0, kvHeads.Layers).Select(budget.PerRow).OrderDescending()];
        int kept = KeptOf(tokens);
        int lazy = StreamingRows.Fewest(costs, tokens, kept, budget, Name);
        return (long)lazy * kept + (long)(costs.Length - lazy) * tokens;
    }

    private protected override CompressionPlan Share(AttentionScores scores, RowCost cost)
    {
        RowLimit budget = Budget.CompositeRows(scores.KvHeads, scores.Tokens, cost);
        bool[] streaming = new bool[scores.KvHeads.Total];
        foreach (int layer in LazyLayers(scores, budget))
        {
            streaming.AsSpan(scores.KvHeads.First(layer), scores.KvHeads[layer]).Fill(true);
        }

        return StreamingRows.Plan(scores.KvHeads, scores.Tokens, streaming, new ProtectedRows(Sinks, Recent - 1), budget, Name);
    }

    // Rows that a lazy layer keeps.
    private int KeptOf(int tokens) => tokens > (long)Sinks + Recent + 1 ? Sinks + Recent - 1 : tokens;

    private IEnumerable<int> LazyLayers(AttentionScores scores, RowLimit budget)
    {
        int kept = KeptOf(scores.Tokens);
        IEnumerable<int> layers = Enumerable.Range(0, scores.Layers);
        if (kept == scores.Tokens)
        {
            return layers.Take(Threshold is null ? Fewest([.. layers]) : 0);
        }

        float[] laziness = [.. layers.Select(layer => Laziness(scores, layer))];
        if (Threshold is { } threshold)
        {
            return layers.Where(layer => laziness[layer] > threshold);
        }

        int[] order = [.. layers.OrderByDescending(layer => laziness[layer])];
        return order.Take(Fewest(order));

        int Fewest(int[] order) => StreamingRows.Fewest(Array.ConvertAll(order, budget.PerRow), scores.Tokens, kept, budget, Name);
    }

    private float Laziness(AttentionScores scores, int layer)
    {
        float sum = 0;
        for (int head = 0; head < scores.Heads[layer]; head++)
        {
            ReadOnlySpan<float> seen = scores.Values(LastQuery, layer, head);
            if (ScoreOrder.FirstNotFinite(seen) is { } token)
            {
                throw new PlanException($"Layer {layer}, attention head {head}, token {token} has {LastQuery} {seen[token]}: not a finite number.");
            }

            sum += TensorPrimitives.Sum(seen[..Sinks]) + TensorPrimitives.Sum(seen[^(Recent + 1)..^1]);
        }

        return sum / scores.Heads[layer];
    }
}
