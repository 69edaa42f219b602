namespace EdgeKV.Scoring;

/// <summary>Reads a statistic from the cache, or from what was recorded during the prefill, by one call of the native library.</summary>
/// <param name="function">The native function, for errors.</param>
/// <param name="read">Makes the call.</param>
internal sealed unsafe class CacheReader(string function, CacheReader.Call read) : StatisticReader
{
    /// <summary>Fills a buffer with a statistic's numbers.</summary>
    internal delegate NativeStatus Call(IScoreContext context, Statistic statistic, float* data, nuint count);

    /// <inheritdoc/>
    public override ReadingStage Stage => ReadingStage.Cache;

    /// <inheritdoc/>
    public override long Read(IReadOnlyList<Statistic> group, IScoreContext context, ScoreValues values, in WorkPart part)
    {
        foreach (Statistic statistic in group)
        {
            long length = (long)context.Model.Geometry.Rows(statistic.IsPerAttentionHead).Total * context.Position;
            NativeScoreBuffer buffer = NativeScoreBuffer.Allocate(length, out float* data);
            try
            {
                NativeErrors.ThrowIfFailed(read(context, statistic, data, (nuint)length), function);
                values.Add(statistic, buffer);
            }
            catch
            {
                buffer.Dispose();
                throw;
            }
        }

        return 0;
    }
}
