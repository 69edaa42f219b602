using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// A scorer whose scores say how much attention a row gets, the same way in every layer and KV head, so that <see cref="Allocators.GlobalRanking"/> can rank
/// all rows of the model together.
/// </summary>
public abstract record AttentionScorer : IRowScorer
{
    // Attention sinks (arXiv 2309.17453) are too costly to lose for a prediction to decide.
    private protected const int PredictedSinks = 4;

    // A question's first tokens look at what stands right before them, and no text that a map is learned from is followed by one.
    private protected const int PredictedRecent = 4;

    private protected AttentionScorer(int sinks, int recent)
    {
        Sinks = sinks;
        Recent = recent;
    }

    /// <inheritdoc/>
    public abstract string Name { get; }

    /// <inheritdoc/>
    public abstract ScoreRequest Request { get; }

    /// <inheritdoc/>
    public abstract bool AreLogarithms { get; }

    /// <inheritdoc/>
    public bool SharesPositions => false;

    /// <summary>First positions that every KV head keeps before scores decide, 0 and up.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Sinks
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Protected first positions are 0 and up.");
    }

    /// <summary>Last positions that every KV head keeps before scores decide, 0 and up.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is below 0.</exception>
    public int Recent
    {
        get;
        init => field = value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "Protected last positions are 0 and up.");
    }

    /// <inheritdoc/>
    public virtual void EnsureScorable(int tokens)
    {
    }

    /// <inheritdoc/>
    public abstract void Score(AttentionScores scores, int layer, Span<float> destination);

    /// <inheritdoc/>
    public ProtectedRows Protect(int tokens, int rows) => new(Sinks, Recent);
}
