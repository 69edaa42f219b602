using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// LagKV, arXiv 2504.04704: the rows whose keys and values spread most unevenly over their channels, measured by the range that each channel has in
/// the block of tokens after theirs. Looks at no attention.
/// </summary>
/// <remarks>
/// <para>
/// s is the row's <see cref="BlockRank"/>, with blocks that follow the sinks. So ties between blocks are the rule: they go to the earlier one.
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
    public override ScoreRequest Request => new(Ranks);

    private BlockRank Ranks => new(Sinks, Lag);

    /// <inheritdoc/>
    public override ProtectedRows Protect(int tokens, int rows) =>
        new(Sinks, Blocks(tokens) < 2 ? tokens : Lag + (tokens - Sinks) % Lag);

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        scores.Values(Ranks, layer).CopyTo(destination);
    }

    private int Blocks(int tokens) => Math.Max(0, tokens - Sinks) / Lag;
}
