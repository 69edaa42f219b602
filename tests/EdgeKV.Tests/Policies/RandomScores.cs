using EdgeKV.Models;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies;

/// <summary>Random scores that hold what a request asks for.</summary>
internal static class RandomScores
{
    /// <summary>Scores of a model of random geometry, half of the time with ties everywhere.</summary>
    public static AttentionScores For(ScoreRequest request, Random random, int tokens) =>
        For(request, RandomGeometry.Of(random), random, tokens);

    /// <summary>Scores of a model of the given geometry, half of the time with ties everywhere.</summary>
    public static AttentionScores For(ScoreRequest request, CacheGeometry geometry, Random random, int tokens)
    {
        bool tied = random.Next(2) == 0;
        return Of(request, geometry, tokens, statistic =>
        {
            int length = geometry.Rows(statistic.IsPerAttentionHead).Total * tokens;
            return tied ? TestScores.Tied(random.Next(), length, random.Next(1, 12)) : TestScores.Random(random.Next(), length);
        });
    }

    /// <summary>
    /// Scores all but without ties, one attention head for each KV head. Sums over heads are exact, so that the heads' order decides no rounding.
    /// Head h gets what head order[h] would have; without an order each its own.
    /// </summary>
    public static AttentionScores Permuted(ScoreRequest request, int layers, int heads, int tokens, int seed, int[]? order) =>
        Of(request, CacheGeometry.Uniform(layers, heads, heads, 1, 1), tokens, statistic =>
        {
            float[] values = TestScores.Exact(seed++, layers * heads * tokens);
            float[] permuted = new float[values.Length];
            for (int row = 0; row < layers * heads; row++)
            {
                int from = order is null ? row : row / heads * heads + order[row % heads];
                values.AsSpan(from * tokens, tokens).CopyTo(permuted.AsSpan(row * tokens));
            }

            return permuted;
        });

    /// <summary>Copies scores, the first value of one statistic's token NaN.</summary>
    public static AttentionScores Broken(AttentionScores scores, ScoreRequest request, Statistic broken, int layer, int head, int token) =>
        Of(request, scores.Geometry, scores.Tokens, statistic =>
        {
            float[] values = [.. Enumerable.Range(0, scores.Layers).SelectMany(own => scores.Values(statistic, own).ToArray())];
            if (statistic == broken)
            {
                values[(scores.Geometry.Rows(statistic.IsPerAttentionHead).First(layer) + head) * scores.Tokens + token] = float.NaN;
            }

            return values;
        });

    // Of each statistic its values by layer, head and token.
    private static AttentionScores Of(ScoreRequest request, CacheGeometry geometry, int tokens, Func<Statistic, float[]> draw)
    {
        Dictionary<Statistic, StatisticValues> values = [];
        foreach (Statistic statistic in request.Statistics)
        {
            values.Add(statistic, new StatisticValues(TestScores.Buffer(draw(statistic)), Queries(statistic, tokens)));
        }

        return new AttentionScores(geometry, tokens, values);
    }

    private static long Queries(Statistic statistic, int tokens) => statistic switch
    {
        WindowAttention window => Math.Min(window.Queries, tokens),
        TaskAttention or ReconstructionAttention => 16,
        _ => 0,
    };
}
