using EdgeKV.Models;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Scoring;

/// <summary>
/// Cached rows from arrays, [layers, tokens, kvHeads, headSize]; null: none of that kind. What is made of them is made by definition, in double.
/// </summary>
internal sealed class TestRows(int layers, int kvHeads, int tokens, float[]? keys, float[]? values = null) : ICacheRows
{
    public int Layers => layers;

    public int KvHeads => kvHeads;

    public int Tokens => tokens;

    public CacheGeometry Geometry => CacheGeometry.Uniform(
        layers, kvHeads, kvHeads, keys is null ? 1 : HeadSize(RowKind.Keys), values is null ? 1 : HeadSize(RowKind.Values));

    public RotaryEncoding Rotary { get; init; } = new([], RotaryPairs.Adjacent);

    public int HeadSize(RowKind kind) => Of(kind).Length / (layers * tokens * kvHeads);

    public void Read(RowKind kind, int layer, Span<float> rows) =>
        Of(kind).AsSpan(layer * rows.Length, rows.Length).CopyTo(rows);

    public void Apply(RowForm form, RowKind kind, int layer, ReadOnlySpan<float> factors, Span<float> results)
    {
        int forms = results.Length / (kvHeads * tokens);
        int size = factors.Length / (kvHeads * forms);
        for (int i = 0; i < results.Length; i++)
        {
            int list = i / tokens;
            double[] row = Numbers(kind, layer, list / forms, i % tokens);
            double[] factor = Doubles(factors.Slice(list * size, size));
            double[] turned = form == RowForm.Linear ? [] : [.. factor.Chunk(row.Length).Select(part => Dot(part, row))];
            results[i] = (float)(form switch
            {
                RowForm.Linear => Dot(factor, row),
                RowForm.Quadratic => Dot(turned, row),
                _ => Dot(turned, turned),
            });
        }
    }

    public void Sum(RowMoment moment, RowKind kind, int layer, ReadOnlySpan<float> weights, Span<double> sums)
    {
        int lists = weights.Length / tokens;
        int size = sums.Length / lists;
        sums.Clear();
        for (int i = 0; i < weights.Length; i++)
        {
            int list = i / tokens;
            double[] row = Numbers(kind, layer, list / (lists / kvHeads), i % tokens);
            for (int j = 0; j < size; j++)
            {
                double x = moment == RowMoment.First ? row[j] : row[j / row.Length] * row[j % row.Length];
                sums[list * size + j] += weights[i] * x;
            }
        }
    }

    public float[] Row(RowKind kind, int layer, int kvHead, int token)
    {
        int size = HeadSize(kind);
        return Of(kind).AsSpan(((layer * tokens + token) * kvHeads + kvHead) * size, size).ToArray();
    }

    /// <summary>L2 norms, [layers, kvHeads, tokens].</summary>
    public float[] Norms(RowKind kind) =>
    [
        .. from layer in Enumerable.Range(0, layers)
           from head in Enumerable.Range(0, kvHeads)
           from token in Enumerable.Range(0, tokens)
           select (float)Math.Sqrt(Row(kind, layer, head, token).Sum(x => (double)x * x)),
    ];

    private double[] Numbers(RowKind kind, int layer, int kvHead, int token) => Doubles(Row(kind, layer, kvHead, token));

    private float[] Of(RowKind kind) => (kind == RowKind.Keys ? keys : values) ?? throw new InvalidOperationException($"There are no {kind}.");

    private static double[] Doubles(ReadOnlySpan<float> numbers) => [.. numbers.ToArray().Select(x => (double)x)];

    private static double Dot(double[] one, double[] other) => one.Zip(other, (x, y) => x * y).Sum();
}
