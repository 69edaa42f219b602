namespace EdgeKV.Scoring;

/// <summary>Works out <see cref="KeyProducts"/>.</summary>
internal sealed class KeyProductScores : ILayerStatistic
{
    private readonly ICacheRows _rows;
    private readonly QueryDirections _directions;

    /// <summary>Products of some keys.</summary>
    /// <param name="rows">The keys.</param>
    /// <param name="statistic">Has the directions.</param>
    /// <exception cref="PlanException">The directions are another model's.</exception>
    public KeyProductScores(ICacheRows rows, KeyProducts statistic)
    {
        _rows = rows;
        _directions = statistic.Directions;
        int size = rows.HeadSize(RowKind.Keys);
        if (_directions.Layers != rows.Layers || _directions.KvHeads != rows.KvHeads || _directions.HeadSize != size)
        {
            throw new PlanException(
                $"The directions of queries are [{_directions.Layers}, {_directions.KvHeads}, {_directions.HeadSize}]; keys of this model need "
                + $"[{rows.Layers}, {rows.KvHeads}, {size}].");
        }
    }

    /// <inheritdoc/>
    public void Write(int layer, Span<float> destination) => _rows.Apply(RowForm.Linear, RowKind.Keys, layer, _directions.Of(layer), destination);
}
