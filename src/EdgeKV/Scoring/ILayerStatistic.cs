namespace EdgeKV.Scoring;

/// <summary>A statistic that is worked out from cached rows, a layer at a time.</summary>
internal interface ILayerStatistic
{
    /// <summary>What works a statistic out.</summary>
    /// <param name="statistic">One that <see cref="Statistic.IsMadeOfRows"/>.</param>
    /// <param name="rows">The cached rows.</param>
    /// <param name="seen">Holds what the statistic is <see cref="Statistic.MadeOf"/>.</param>
    /// <exception cref="PlanException">The statistic does not fit the model or the context.</exception>
    /// <exception cref="UnsupportedModelException">Positions are not encoded by one rotation, and the statistic has to know how they are.</exception>
    static ILayerStatistic Of(Statistic statistic, ICacheRows rows, AttentionScores seen) => statistic switch
    {
        KeyLeverage leverage => new LeverageScores(rows, leverage),
        KeyLikeness => new KeyLikenessScores(rows, seen),
        KeyProducts products => new KeyProductScores(rows, products),
        BlockRank rank => new BlockRankScores(rows, rank),
        FutureAttention future => new FutureAttentionScores(rows, seen, future),
        ValueCapacity capacity => new ValueCapacityScores(rows, seen, capacity),
        _ => throw new ArgumentException($"The statistic {statistic} is not made of cached rows.", nameof(statistic)),
    };

    /// <summary>Writes a layer; any number of threads may do so at once.</summary>
    /// <param name="layer">0 to layers - 1.</param>
    /// <param name="destination">Takes [heads or KV heads, tokens].</param>
    void Write(int layer, Span<float> destination);
}
