using EdgeKV.Scoring;

namespace EdgeKV.Policies.Scorers;

/// <summary>
/// Scores rows by <see cref="Learned"/>: a linear prediction of ln(repeat + 1e-7) from what each layer reads, made while the context is read (after KVzap,
/// arXiv 2601.07891, which was taught by KVzip). No pass. Needs a profile of the model.
/// </summary>
/// <remarks>Protects the first 4 and the last 4 positions unless told otherwise.</remarks>
public sealed record LearnedScorer : AttentionScorer, IReadingScorer
{
    /// <summary>Learned scores.</summary>
    public LearnedScorer()
        : base(PredictedSinks, PredictedRecent)
    {
    }

    /// <inheritdoc/>
    public override string Name => "learned";

    /// <inheritdoc/>
    public override ScoreRequest Request => new(new Learned());

    /// <inheritdoc/>
    public override bool AreLogarithms => true;

    /// <inheritdoc/>
    public override void Score(AttentionScores scores, int layer, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(scores);
        for (int head = 0; head < scores.KvHeads[layer]; head++)
        {
            scores.Learned(layer, head).CopyTo(destination[(head * scores.Tokens)..]);
        }
    }
}
