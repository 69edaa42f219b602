using EdgeKV.Models;

namespace EdgeKV.Scoring;

/// <summary>
/// A moment of the context's own queries before position encoding, after the query norm where the model has one, over the tokens from
/// <paramref name="First"/> on: [layers, heads, headSize] means, or [layers, heads, headSize, headSize] covariances. These tokens are taken back
/// and fed once more, in one pass with those of <see cref="WindowAttention"/>, or of <see cref="BlockAttention"/> where that is asked for too.
/// </summary>
/// <param name="Moment">Mean or covariance; who needs both asks for both.</param>
/// <param name="First">The first token that counts, 0 and up: attention sinks have queries unlike all others. Default: 4.</param>
public sealed record QueryMoments(QueryMoment Moment, int First = 4) : Statistic
{
    /// <inheritdoc/>
    public override string Name => "queries";

    internal override StatisticReader Reader => WindowReader.Instance;

    /// <inheritdoc/>
    public override bool NeedsPass => true;

    /// <inheritdoc/>
    public override bool IsPerAttentionHead => true;

    /// <summary>Means have as many numbers as a head has channels, covariances the square of it, whatever the tokens.</summary>
    internal override long RowLength(AttentionLayer layer, int tokens) =>
        Moment == QueryMoment.Mean ? layer.HeadSizeK : (long)layer.HeadSizeK * layer.HeadSizeK;

    private protected override string Describe() => Moment == QueryMoment.Mean ? "mean(queries)" : "covariance(queries)";
}
