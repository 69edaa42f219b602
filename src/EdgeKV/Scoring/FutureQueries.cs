namespace EdgeKV.Scoring;

/// <summary>
/// The queries to be expected at the positions after the context: the context's own before position encoding, turned by the mean rotation of
/// those positions (expected attention, arXiv 2510.00636, section 3).
/// </summary>
/// <param name="seen">Has moments of the context's queries.</param>
/// <param name="rotary">How the model turns its queries and keys.</param>
/// <param name="first">The first token whose query counts.</param>
/// <param name="ahead">Positions from the context's end on, 1 and up.</param>
internal sealed class FutureQueries(AttentionScores seen, RotaryEncoding rotary, int first, int ahead)
{
    private readonly Statistic _mean = new QueryMoments(QueryMoment.Mean, first);
    private readonly Statistic _covariance = new QueryMoments(QueryMoment.Covariance, first);
    private readonly RotaryEncoding.Rotation _rotation = rotary.Mean(seen.Tokens, ahead);

    /// <summary>Writes the mean queries of a layer, Qu.</summary>
    /// <param name="layer">0 to layers - 1.</param>
    /// <param name="destination">Takes [heads, headSize] exactly.</param>
    public void CopyMeans(int layer, Span<float> destination)
    {
        int heads = seen.Heads[layer];
        int size = destination.Length / heads;
        for (int head = 0; head < heads; head++)
        {
            Span<float> mean = destination.Slice(head * size, size);
            seen.Values(_mean, layer, head).CopyTo(mean);
            _rotation.Apply(mean);
        }
    }

    /// <summary>Writes the covariances of a layer's queries, QCQ^T.</summary>
    /// <param name="layer">0 to layers - 1.</param>
    /// <param name="size">The head size.</param>
    /// <param name="destination">Takes [heads, headSize, headSize] exactly.</param>
    public void CopyCovariances(int layer, int size, Span<float> destination)
    {
        for (int head = 0; head < seen.Heads[layer]; head++)
        {
            Span<float> covariance = destination.Slice(head * size * size, size * size);
            seen.Values(_covariance, layer, head).CopyTo(covariance);
            _rotation.ApplyToBothSides(covariance, size);
        }
    }
}
