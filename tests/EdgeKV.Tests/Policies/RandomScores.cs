using EdgeKV.Scoring;
using EdgeKV.Tests.Scoring;

namespace EdgeKV.Tests.Policies;

/// <summary>Random scores that hold what a request asks for.</summary>
internal static class RandomScores
{
    // Of cached rows and queries.
    public const int HeadSize = 4;

    private static readonly RotaryEncoding Rotary = new([0.9, 0.04], RotaryPairs.HalfSplit, 1.1);

    /// <summary>Scores of a model of random sizes, half of the time with ties everywhere.</summary>
    public static AttentionScores For(ScoreRequest request, Random random, int tokens) =>
        For(request, ModelSizes.Random(random), random, tokens);

    /// <summary>Scores of a model of the given sizes, half of the time with ties everywhere.</summary>
    public static AttentionScores For(ScoreRequest request, ModelSizes sizes, Random random, int tokens)
    {
        (int layers, int heads, int kvHeads) = sizes;
        bool tied = random.Next(2) == 0;
        return Of(request, layers, heads, kvHeads, tokens, statistic =>
        {
            int length = layers * (statistic.IsPerAttentionHead ? heads : kvHeads) * RowLength(statistic, tokens);
            return tied ? TestScores.Tied(random.Next(), length, random.Next(1, 12)) : TestScores.Random(random.Next(), length);
        });
    }

    /// <summary>
    /// Scores without ties, one attention head for each KV head: no sum over a group whose rounding the heads' order could decide.
    /// Head h gets what head order[h] would have; without an order each its own.
    /// </summary>
    public static AttentionScores Permuted(ScoreRequest request, int layers, int heads, int tokens, int seed, int[]? order) =>
        Of(request, layers, heads, heads, tokens, statistic =>
        {
            int length = RowLength(statistic, tokens);
            float[] values = TestScores.Random(seed++, layers * heads * length);
            float[] permuted = new float[values.Length];
            for (int row = 0; row < layers * heads; row++)
            {
                int from = order is null ? row : row / heads * heads + order[row % heads];
                values.AsSpan(from * length, length).CopyTo(permuted.AsSpan(row * length));
            }

            return permuted;
        });

    /// <summary>Copies scores, the first value of one statistic's token NaN.</summary>
    public static AttentionScores Broken(AttentionScores scores, ScoreRequest request, Statistic broken, int layer, int head, int token) =>
        Of(request, scores.Layers, scores.Heads, scores.KvHeads, scores.Tokens, statistic =>
        {
            int rows = statistic.IsPerAttentionHead ? scores.Heads : scores.KvHeads;
            int length = RowLength(statistic, scores.Tokens);
            float[] values =
            [
                .. statistic is CacheRows kind
                    ? ByHead(scores, kind.Kind)
                    : Enumerable.Range(0, scores.Layers * rows).SelectMany(row => scores.Values(statistic, row / rows, row % rows).ToArray()),
            ];
            if (statistic == broken)
            {
                values[(layer * rows + head) * length + token * (length / scores.Tokens)] = float.NaN;
            }

            return values;
        });

    // Of each statistic its values by layer, head and token.
    private static AttentionScores Of(ScoreRequest request, int layers, int heads, int kvHeads, int tokens, Func<Statistic, float[]> draw)
    {
        Dictionary<Statistic, StatisticValues> values = [];
        Dictionary<RowKind, float[]> rows = [];
        foreach (Statistic statistic in request.Statistics)
        {
            float[] drawn = draw(statistic);
            if (statistic is CacheRows kind)
            {
                rows.Add(kind.Kind, ByToken(drawn, layers, kvHeads, tokens));
            }
            else
            {
                values.Add(statistic, new StatisticValues(TestScores.Buffer(drawn), Queries(statistic, tokens)));
            }
        }

        return new AttentionScores(
            layers,
            heads,
            kvHeads,
            tokens,
            values,
            rows.Count == 0
                ? null
                : new TestRows(layers, kvHeads, tokens, rows.GetValueOrDefault(RowKind.Keys), rows.GetValueOrDefault(RowKind.Values)) { Rotary = Rotary });
    }

    private static int RowLength(Statistic statistic, int tokens) => statistic switch
    {
        CacheRows => tokens * HeadSize,
        QueryMoments { Moment: QueryMoment.Mean } => HeadSize,
        QueryMoments => HeadSize * HeadSize,
        _ => tokens,
    };

    // [layers, kvHeads, tokens, headSize] to [layers, tokens, kvHeads, headSize].
    private static float[] ByToken(float[] rows, int layers, int kvHeads, int tokens) =>
    [
        .. from layer in Enumerable.Range(0, layers)
           from token in Enumerable.Range(0, tokens)
           from head in Enumerable.Range(0, kvHeads)
           from channel in Enumerable.Range(0, HeadSize)
           select rows[((layer * kvHeads + head) * tokens + token) * HeadSize + channel],
    ];

    private static IEnumerable<float> ByHead(AttentionScores scores, RowKind kind)
    {
        float[] rows = new float[scores.Tokens * scores.KvHeads * HeadSize];
        for (int layer = 0; layer < scores.Layers; layer++)
        {
            scores.CopyRows(kind, layer, rows);
            for (int i = 0; i < rows.Length; i++)
            {
                int head = i / HeadSize / scores.Tokens;
                int token = i / HeadSize % scores.Tokens;
                yield return rows[(token * scores.KvHeads + head) * HeadSize + i % HeadSize];
            }
        }
    }

    private static long Queries(Statistic statistic, int tokens) => statistic switch
    {
        WindowAttention window => Math.Min(window.Queries, tokens),
        TaskAttention or ReconstructionAttention => 16,
        _ => 0,
    };
}
