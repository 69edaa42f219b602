namespace EdgeKV.Scoring;

/// <summary>A statistic that is worked out from cached rows, a layer at a time.</summary>
internal interface ILayerStatistic
{
    /// <summary>Writes a layer; any number of threads may do so at once.</summary>
    /// <param name="layer">0 to layers - 1.</param>
    /// <param name="destination">Takes [heads or KV heads, tokens].</param>
    void Write(int layer, Span<float> destination);
}
