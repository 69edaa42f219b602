using EdgeKV.Scoring;

namespace EdgeKV.Policies;

/// <summary>
/// The queries to be expected at the positions after the context: the context's own before position encoding, turned by the mean rotation of
/// those positions (expected attention, arXiv 2510.00636, section 3).
/// </summary>
internal sealed class FutureQueries
{
    private readonly AttentionScores _scores;
    private readonly int _first;
    private readonly RotaryEncoding.Rotation _rotation;

    /// <summary>Queries at the positions from the context's end on.</summary>
    /// <param name="scores">Scores with keys and query moments.</param>
    /// <param name="policy">Whose they are, for messages.</param>
    /// <param name="first">The first token whose query counts.</param>
    /// <param name="ahead">Positions, 1 and up.</param>
    /// <exception cref="PlanException">No token counts, or it is not known how positions are encoded.</exception>
    public FutureQueries(AttentionScores scores, string policy, int first, int ahead)
    {
        if (scores.Tokens <= first)
        {
            throw new PlanException(
                $"{policy} leaves the first {first} tokens out; a context of {scores.Tokens} has no others. Give fewer, or a longer context.");
        }

        if (scores.Rotary is not { } rotary)
        {
            throw new PlanException($"{policy} turns queries as the model turns its keys, and how this one does it is not known. Take another policy.");
        }

        _scores = scores;
        _first = first;
        _rotation = rotary.Mean(scores.Tokens, ahead);
    }

    /// <summary>Writes an attention head's mean query, Qu.</summary>
    /// <param name="layer">0 to layers - 1.</param>
    /// <param name="head">0 to heads - 1.</param>
    /// <param name="destination">Takes [headSize] exactly.</param>
    /// <exception cref="PlanException">Queries and keys are not equally long.</exception>
    public void CopyMean(int layer, int head, Span<float> destination)
    {
        Values(QueryMoment.Mean, layer, head, destination.Length).CopyTo(destination);
        _rotation.Apply(destination);
    }

    /// <summary>Writes the covariance of an attention head's queries, QCQ^T.</summary>
    /// <param name="layer">0 to layers - 1.</param>
    /// <param name="head">0 to heads - 1.</param>
    /// <param name="size">The head size.</param>
    /// <param name="destination">Takes [headSize, headSize] exactly.</param>
    /// <exception cref="PlanException">Queries and keys are not equally long.</exception>
    public void CopyCovariance(int layer, int head, int size, Span<float> destination)
    {
        Values(QueryMoment.Covariance, layer, head, destination.Length).CopyTo(destination);
        _rotation.ApplyToBothSides(destination, size);
    }

    private ReadOnlySpan<float> Values(QueryMoment moment, int layer, int head, int length)
    {
        ReadOnlySpan<float> values = _scores.Values(new QueryMoments(moment, _first), layer, head);
        return values.Length == length
            ? values
            : throw new PlanException($"The {moment} of queries has {values.Length} numbers a head; keys of this size need {length}.");
    }
}
