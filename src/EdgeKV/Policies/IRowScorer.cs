using EdgeKV.Scoring;

namespace EdgeKV.Policies;

/// <summary>
/// Gives every row of a KV cache a score; which rows stay is then a matter of how a budget is shared. Pure: the same statistics give the same
/// scores, nothing is kept between calls, any number of threads may score at once.
/// </summary>
public interface IRowScorer
{
    /// <summary>The name under which the registry knows it.</summary>
    string Name { get; }

    /// <summary>What <see cref="Score"/> needs to see.</summary>
    /// <exception cref="ArgumentException">Options contradict each other.</exception>
    ScoreRequest Request { get; }

    /// <summary>Whether all KV heads of a layer get the same scores, and so keep the same positions where they keep equally many.</summary>
    bool SharesPositions { get; }

    /// <summary>Whether scores are natural logarithms, so that a wrapper that multiplies scores takes e^s for s. Default: no.</summary>
    bool AreLogarithms => false;

    /// <summary>Refuses a context that is too short to be scored, before anything reads it. Default: every length will do.</summary>
    /// <param name="tokens">Tokens of the context, 1 and up.</param>
    /// <exception cref="PlanException">The context is too short.</exception>
    void EnsureScorable(int tokens)
    {
    }

    /// <summary>Writes the scores of a layer's rows, the higher, the more worth keeping.</summary>
    /// <param name="scores">At least the statistics that <see cref="Request"/> names.</param>
    /// <param name="layer">0 to layers - 1.</param>
    /// <param name="destination">Takes [kvHeads, tokens]; what it holds before does not matter. Scores of protected rows do not matter, but must be finite.</param>
    /// <exception cref="PlanException">The context cannot be scored.</exception>
    void Score(AttentionScores scores, int layer, Span<float> destination);

    /// <summary>The scorer for plans that remove some share of all rows. Default: itself, as most scores are the same for every budget.</summary>
    /// <param name="ratio">The share of all rows that goes, 0 to below 1.</param>
    IRowScorer ForRatio(double ratio) => this;

    /// <summary>The positions that every KV head keeps before scores decide.</summary>
    /// <param name="tokens">Tokens of the context, 1 and up.</param>
    /// <param name="rows">Rows that a KV head keeps, on average where heads differ, 0 to <paramref name="tokens"/>.</param>
    ProtectedRows Protect(int tokens, int rows);
}
