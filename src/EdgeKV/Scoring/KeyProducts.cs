namespace EdgeKV.Scoring;

/// <summary>
/// Plain products of the cached keys, position encoding applied, with one direction for each layer and KV head, [layers, kvHeads, tokens]
/// (Q-Filters, arXiv 2503.02812). No pass.
/// </summary>
/// <param name="Directions">The directions, of the model that the context was read by.</param>
public sealed record KeyProducts(QueryDirections Directions) : Statistic
{
    /// <inheritdoc/>
    public override string Name => "key products";

    internal override bool IsMadeOfRows => true;

    internal override ILayerStatistic OfRows(ICacheRows rows, AttentionScores seen) => new KeyProductScores(rows, this);
}

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
        int other = rows.Geometry.Layers.Index().FirstOrDefault(layer => layer.Item.HeadSizeK != _directions.HeadSize, (-1, default)).Index;
        if (!_directions.KvHeads.Equals(rows.Geometry.KvHeads) || other >= 0)
        {
            throw new PlanException(
                $"The directions of queries are of {_directions.KvHeads} KV heads, {_directions.HeadSize} elements each; keys of this model are of {rows.Geometry.KvHeads}, "
                + $"{rows.HeadSize(RowKind.Keys, Math.Max(0, other))} in layer {Math.Max(0, other)}.");
        }
    }

    /// <inheritdoc/>
    public void Write(int layer, Span<float> destination) => _rows.Apply(RowForm.Linear, RowKind.Keys, layer, _directions.Of(layer), destination);
}
