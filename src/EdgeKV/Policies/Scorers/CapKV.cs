using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// CapKV, arXiv 2604.25975: the rows whose values add most to what a head can give out, weighed by how well their keys fit the queries to be
/// expected. The first positions stay. Looks at no attention.
/// </summary>
/// <remarks>
/// s is the <see cref="ValueCapacity"/> of the tokens after the sinks. Lengths of keys and queries do not count, as in the reference
/// (NVIDIA/kvpress, cap_press); the paper takes plain products.
/// </remarks>
public sealed record CapKV : ScoredPolicy
{
    /// <summary>The policy's name.</summary>
    public const string PolicyName = "capkv";

    /// <inheritdoc/>
    public override string Name => PolicyName;

    /// <summary>First positions that stay and whose queries do not count, 0 and up; the context must be longer. Default: 4.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Sinks
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Sinks are 0 positions and up.");
    }

    = 4;

    /// <summary>How sharply keys are told apart by their cosine, 0 (not at all) to 1000. Default: 5.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is out of range.</exception>
    public double Sharpness
    {
        get;
        init => field = value is >= 0 and <= 1000
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A sharpness is 0 to 1000.");
    }

    = 5;

    /// <summary>Positions after the context at which queries are expected, 1 and up. Default: 512.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 1.</exception>
    public int Ahead
    {
        get;
        init => field = value >= 1
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Positions ahead are 1 and up.");
    }

    = 512;

    /// <inheritdoc/>
    public override ScoreRequest Request => new(Capacity);

    private ValueCapacity Capacity => new(Sinks, Ahead, Sharpness);

    /// <inheritdoc/>
    public override ProtectedRows Protect(int tokens, int rows) => new(Sinks, 0);

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        scores.Values(Capacity, layer).CopyTo(destination);
    }
}
