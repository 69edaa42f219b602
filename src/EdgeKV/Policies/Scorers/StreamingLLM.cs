using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// StreamingLLM, arXiv 2309.17453: the first positions, which are attention sinks, and the last ones; what lies between goes. Keys stay at their
/// positions.
/// </summary>
public sealed record StreamingLLM : ScoredPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "streaming-llm";

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>First positions that stay, 0 and up; the last keep(tokens) - Sinks stay too. Default: 4.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Sinks
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Sinks are 0 positions and up.");
    }

    = 4;

    /// <inheritdoc/>
    public override ScoreRequest Request => ScoreRequest.None;

    /// <inheritdoc/>
    public override bool SharesPositions => true;

    /// <inheritdoc/>
    public override ProtectedRows Protect(int tokens, int rows) => new(Sinks, Math.Max(0, rows - Sinks));

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination) => destination.Clear();
}
