using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies;

/// <summary>Random scores that hold what a request asks for.</summary>
internal static class RandomScores
{
    /// <summary>Scores of a model of random sizes, half of the time with ties everywhere.</summary>
    public static AttentionScores For(ScoreRequest request, Random random, int tokens) =>
        For(request, ModelSizes.Random(random), random, tokens);

    /// <summary>Scores of a model of the given sizes, half of the time with ties everywhere.</summary>
    public static AttentionScores For(ScoreRequest request, ModelSizes sizes, Random random, int tokens)
    {
        (int layers, int heads, int kvHeads) = sizes;
        bool tied = random.Next(2) == 0;
        return new AttentionScores(layers, heads, kvHeads, tokens, request.Statistics.Select(statistic =>
        {
            int length = layers * (statistic.IsPerAttentionHead ? heads : kvHeads) * tokens;
            float[] values = tied ? TestScores.Tied(random.Next(), length, random.Next(1, 12)) : TestScores.Random(random.Next(), length);
            return KeyValuePair.Create(statistic, new StatisticValues(TestScores.Buffer(values), Queries(statistic, tokens)));
        }));
    }

    /// <summary>
    /// Scores without ties, one attention head for each KV head: no sum over a group whose rounding the heads' order could decide.
    /// Head h gets what head order[h] would have; without an order each its own.
    /// </summary>
    public static AttentionScores Permuted(ScoreRequest request, int layers, int heads, int tokens, int seed, int[]? order) =>
        new(layers, heads, heads, tokens, request.Statistics.Select((statistic, i) =>
        {
            float[] values = TestScores.Random(seed + i, layers * heads * tokens);
            float[] permuted = new float[values.Length];
            for (int row = 0; row < layers * heads; row++)
            {
                int from = order is null ? row : row / heads * heads + order[row % heads];
                values.AsSpan(from * tokens, tokens).CopyTo(permuted.AsSpan(row * tokens));
            }

            return KeyValuePair.Create(statistic, new StatisticValues(TestScores.Buffer(permuted), Queries(statistic, tokens)));
        }));

    /// <summary>Copies scores, one value of one statistic NaN.</summary>
    public static AttentionScores Broken(AttentionScores scores, ScoreRequest request, Statistic broken, int layer, int head, int token) =>
        new(scores.Layers, scores.Heads, scores.KvHeads, scores.Tokens, request.Statistics.Select(statistic =>
        {
            int rows = statistic.IsPerAttentionHead ? scores.Heads : scores.KvHeads;
            float[] values =
            [
                .. Enumerable.Range(0, scores.Layers * rows).SelectMany(row => scores.Values(statistic, row / rows, row % rows).ToArray()),
            ];
            if (statistic == broken)
            {
                values[(layer * rows + head) * scores.Tokens + token] = float.NaN;
            }

            return KeyValuePair.Create(statistic, new StatisticValues(TestScores.Buffer(values), scores.Queries(statistic)));
        }));

    private static long Queries(Statistic statistic, int tokens) => statistic switch
    {
        WindowAttention window => Math.Min(window.Queries, tokens),
        TaskAttention or ReconstructionAttention => 16,
        _ => 0,
    };
}
