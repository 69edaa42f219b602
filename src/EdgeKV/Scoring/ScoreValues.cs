namespace EdgeKV.Scoring;

/// <summary>The values that readers have found so far. Disposed when the reading fails, else handed over to <see cref="AttentionScores"/>.</summary>
internal sealed class ScoreValues : IDisposable
{
    private readonly Dictionary<Statistic, StatisticValues> _values = [];

    /// <summary>Hands over what was found: whoever takes it disposes the buffers.</summary>
    public Dictionary<Statistic, StatisticValues> Release()
    {
        Dictionary<Statistic, StatisticValues> all = new(_values);
        _values.Clear();
        return all;
    }

    /// <summary>Takes over the values of a statistic.</summary>
    /// <param name="statistic">The statistic.</param>
    /// <param name="buffer">Its numbers.</param>
    /// <param name="queries">Queries over which they were aggregated; 0 where there are none.</param>
    public void Add(Statistic statistic, ScoreBuffer buffer, long queries = 0) => _values.Add(statistic, new StatisticValues(buffer, queries));

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (StatisticValues values in _values.Values)
        {
            values.Buffer.Dispose();
        }

        _values.Clear();
    }
}
