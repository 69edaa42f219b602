using EdgeKV.Models;
using EdgeKV.Policies;
using EdgeKV.Scoring;
using EdgeKV.Tests.Scoring;

namespace EdgeKV.Tests.Policies;

/// <summary>Cached rows, and all that follows from them: for statistics that are made of keys and values themselves, and the policies that ask for these.</summary>
internal sealed class RowScores : IDisposable
{
    private RowScores(TestRows rows, AttentionScores scores)
    {
        Rows = rows;
        Scores = scores;
    }

    public TestRows Rows { get; }

    public AttentionScores Scores { get; }

    /// <summary>Two channels a pair of the rotation, one more channel in the values.</summary>
    public const int HeadSize = 6;

    public static RotaryEncoding Rotary { get; } = new([0.9, 0.04], RotaryPairs.HalfSplit, 1.1);

    /// <summary>Rows, their norms, and moments of queries that have nothing to do with them.</summary>
    /// <param name="seed">Draws everything.</param>
    /// <param name="tokens">Context tokens.</param>
    /// <param name="layers">Layers.</param>
    /// <param name="order">Where the KV head at each place comes from; null: as drawn.</param>
    /// <param name="group">Attention heads of a KV head.</param>
    public static RowScores Random(int seed, int tokens, int layers = 2, int[]? order = null, int group = 2)
    {
        order ??= [0, 1, 2];
        int heads = order.Length;
        float[] keys = Draw(seed, layers * tokens, heads, HeadSize, order);
        float[] values = Draw(seed + 1_000_000, layers * tokens, heads, HeadSize + 1, order);
        float[] means = Draw(seed + 2_000_000, layers, heads, group * HeadSize, order);
        float[] covariances = Draw(seed + 3_000_000, layers, heads, group * HeadSize * HeadSize, order);
        for (int start = 0; start < covariances.Length; start += HeadSize * HeadSize)
        {
            Square(covariances.AsSpan(start, HeadSize * HeadSize));
        }

        return Of(
            new TestRows(layers, heads, tokens, keys, values) { Rotary = Rotary },
            heads * group,
            [
                new(new QueryMoments(QueryMoment.Mean), new StatisticValues(TestScores.Buffer(means))),
                new(new QueryMoments(QueryMoment.Covariance), new StatisticValues(TestScores.Buffer(covariances))),
            ]);
    }

    /// <summary>Rows, their norms, and what else was seen.</summary>
    /// <param name="rows">Keys, and values where anything is asked of them.</param>
    /// <param name="heads">Attention heads.</param>
    /// <param name="seen">Statistics that are not made of rows.</param>
    public static RowScores Of(TestRows rows, int heads, params IEnumerable<KeyValuePair<Statistic, StatisticValues>> seen) => new(
        rows,
        new AttentionScores(CacheGeometry.Uniform(rows.Layers, heads, rows.KvHeads, rows.HeadSize(RowKind.Keys), 1), rows.Tokens,
            [new(new KeyNorms(), new StatisticValues(TestScores.Buffer(rows.Norms(RowKind.Keys)))), .. seen]));

    /// <summary>The scores with what a policy asks for, made as a session makes it.</summary>
    public AttentionScores For(ICompressionPolicy policy)
    {
        foreach (Statistic statistic in policy.Request.Statistics.Where(statistic => !Scores.Has(statistic)))
        {
            Scores.Add(statistic, new StatisticValues(TestScores.Buffer(
                statistic is ValueNorms ? Rows.Norms(RowKind.Values) : Written(statistic.OfRows(Rows, Scores), statistic.IsPerAttentionHead))));
        }

        return Scores;
    }

    public void Dispose() => Scores.Dispose();

    // [outer, heads, inner] numbers of -1 to 1 around a mean of their channel's, heads in the given order.
    private static float[] Draw(int seed, int outer, int heads, int inner, int[] order)
    {
        var random = new Random(seed);
        float[] drawn = new float[outer * heads * inner];
        for (int i = 0; i < drawn.Length; i++)
        {
            drawn[i] = 2 * random.NextSingle() - 1 + MathF.Sin(i % (heads * inner));
        }

        float[] ordered = new float[drawn.Length];
        for (int block = 0; block < outer * heads; block++)
        {
            int from = block / heads * heads + order[block % heads];
            drawn.AsSpan(from * inner, inner).CopyTo(ordered.AsSpan(block * inner));
        }

        return ordered;
    }

    // AA^T of A, in place.
    private static void Square(Span<float> matrix)
    {
        float[] a = matrix.ToArray();
        for (int i = 0; i < matrix.Length; i++)
        {
            float sum = 0;
            for (int k = 0; k < HeadSize; k++)
            {
                sum += a[i / HeadSize * HeadSize + k] * a[i % HeadSize * HeadSize + k];
            }

            matrix[i] = sum;
        }
    }

    private float[] Written(ILayerStatistic statistic, bool perAttentionHead)
    {
        int layer = Scores.Geometry.Rows(perAttentionHead)[0] * Scores.Tokens;
        float[] written = new float[Scores.Layers * layer];
        written.AsSpan().Fill(float.NaN);
        for (int l = 0; l < Scores.Layers; l++)
        {
            statistic.Write(l, written.AsSpan(l * layer, layer));
        }

        return written;
    }
}
