using System.Buffers;
using System.Numerics.Tensors;
using EdgeKV.Policies.Selection;
using EdgeKV.Scoring;

namespace EdgeKV.Policies;

/// <summary>
/// LagKV, arXiv 2504.04704: the rows whose keys and values spread most unevenly over their channels, measured by the range that each channel has in
/// the block of tokens after theirs. Looks at no attention.
/// </summary>
/// <remarks>
/// <para>
/// After the sinks the context is cut into whole blocks; s is the row's rank within its block, 0 for the lowest, by the mean of the two
/// <see cref="BlockSpread"/>s, divided by the block's length. So ties between blocks are the rule: they go to the earlier one.
/// </para>
/// <para>
/// Sinks, the last whole block and what is left after it are protected; of a context too short for two blocks, the sinks and then the most
/// recent rows stay.
/// </para>
/// </remarks>
public sealed record LagKV : ScoredPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "lagkv";

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>First positions that stay, 0 and up. Default: 4.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Sinks
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Sinks are 0 positions and up.");
    }

    = 4;

    /// <summary>Tokens of a block, 1 and up. Default: 128.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1.</exception>
    public int Lag
    {
        get;
        init => field = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A block has 1 token and up.");
    }

    = 128;

    /// <inheritdoc/>
    public override ScoreRequest Request => new(Spread(RowKind.Keys), Spread(RowKind.Values));

    /// <inheritdoc/>
    public override ProtectedRows Protect(int tokens, int rows) =>
        new(Sinks, Blocks(tokens) < 2 ? tokens : Lag + (tokens - Sinks) % Lag);

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        destination.Clear();
        int blocks = Blocks(scores.Tokens);
        if (blocks < 2)
        {
            return;
        }

        Statistic keys = Spread(RowKind.Keys);
        Statistic values = Spread(RowKind.Values);
        int ranked = (blocks - 1) * Lag;
        ulong[] order = ArrayPool<ulong>.Shared.Rent(Lag);
        for (int head = 0; head < scores.KvHeads; head++)
        {
            Span<float> row = destination.Slice(head * scores.Tokens + Sinks, ranked);
            TensorPrimitives.Add(
                scores.Values(keys, layer, head).Slice(Sinks, ranked), scores.Values(values, layer, head).Slice(Sinks, ranked), row);
            for (int start = 0; start < ranked; start += Lag)
            {
                Rank(row.Slice(start, Lag), order.AsSpan(0, Lag));
            }
        }

        ArrayPool<ulong>.Shared.Return(order);
    }

    private BlockSpread Spread(RowKind kind) => new(kind, Sinks, Lag);

    private int Blocks(int tokens) => Math.Max(0, tokens - Sinks) / Lag;

    // Of equal scores the earlier position gets the higher rank. What is no number stays, to be found.
    private static void Rank(Span<float> scores, Span<ulong> order)
    {
        if (!TensorPrimitives.IsFiniteAll<float>(scores))
        {
            return;
        }

        for (int i = 0; i < scores.Length; i++)
        {
            order[i] = ((ulong)ScoreOrder.Key(scores[i]) << 32) | (uint)i;
        }

        order.Sort();
        for (int place = 0; place < order.Length; place++)
        {
            scores[(int)(uint)order[place]] = (float)(scores.Length - 1 - place) / scores.Length;
        }
    }
}
