using EdgeKV.Scoring;

namespace EdgeKV.Benchmarks;

/// <summary>Scores of Llama 3.1 8B's sizes over 32,768 tokens, drawn at random: whatever statistics a policy asks for.</summary>
internal static class DrawnScores
{
    public const int Layers = 32;
    public const int Heads = 32;
    public const int KvHeads = 8;
    public const int Tokens = 32768;
    public const int HeadSize = 128;

    // Weights like attention's are a power of something even: most are tiny, a few are large; their mean is 1 / (1 + Power).
    private const int Power = 8;

    public static AttentionScores Of(ScoreRequest request)
    {
        List<KeyValuePair<Statistic, StatisticValues>> values = [];
        HashSet<RowKind> rows = [];
        bool masks = false;
        foreach (Statistic statistic in request.Statistics)
        {
            switch (statistic)
            {
                case CacheRows kind:
                    rows.Add(kind.Kind);
                    break;
                case TokenClasses:
                    masks = true;
                    break;
                default:
                    values.Add(new(statistic, Draw(statistic)));
                    break;
            }
        }

        return new AttentionScores(Layers, Heads, KvHeads, Tokens, values, rows.Count > 0 ? new DrawnRows(rows) : null)
        {
            TokenMasks = masks ? new TokenMasks(Every(50), Every(9)) : null,
        };
    }

    private static bool[] Every(int tokens) => [.. Enumerable.Range(0, Tokens).Select(token => token % tokens == 0)];

    private static StatisticValues Draw(Statistic statistic)
    {
        long queries = statistic switch
        {
            WindowAttention window => Math.Min(window.Queries, Tokens),
            TaskAttention or ReconstructionAttention => Tokens,
            _ => 0,
        };
        int length = statistic switch
        {
            QueryMoments { Moment: QueryMoment.Mean } => HeadSize,
            QueryMoments => HeadSize * HeadSize,
            _ => Tokens,
        };
        float[] values = new float[Layers * (statistic.IsPerAttentionHead ? Heads : KvHeads) * length];
        Parallel.For(0, Layers, layer =>
        {
            var random = new Random(layer);
            Span<float> own = values.AsSpan(layer * (values.Length / Layers), values.Length / Layers);
            for (int i = 0; i < own.Length; i++)
            {
                float even = random.NextSingle();
                own[i] = statistic switch
                {
                    // A row of all its queries together adds up to as many.
                    WindowAttention => MathF.Pow(even, Power) * (1 + Power) * queries / Tokens,
                    TaskAttention or ReconstructionAttention => MathF.Pow(even, Power),
                    Learned => Power * MathF.Log(even + 1e-7f),

                    // Channels that have little to do with each other.
                    QueryMoments { Moment: QueryMoment.Covariance } => i % length % (HeadSize + 1) == 0 ? 1 : 0.01f * even,
                    QueryMoments => even - 0.5f,
                    _ => 1 + even,
                };
            }
        });
        return new StatisticValues(ScoreBuffer.FromMemory(values), queries);
    }

    // The same rows in every layer, so that they fit in memory; a read costs a copy of a layer.
    private sealed class DrawnRows(HashSet<RowKind> kinds) : ICacheRows
    {
        private static readonly Lazy<float[]> Drawn = new(Draw);

        public int Layers => DrawnScores.Layers;

        public int KvHeads => DrawnScores.KvHeads;

        public int Tokens => DrawnScores.Tokens;

        public RotaryEncoding? Rotary { get; } = new(
            [.. Enumerable.Range(0, DrawnScores.HeadSize / 2).Select(pair => Math.Pow(500_000, -2.0 * pair / DrawnScores.HeadSize))], RotaryPairs.HalfSplit);

        public int HeadSize(RowKind kind) => kinds.Contains(kind) ? DrawnScores.HeadSize : 0;

        public void Read(RowKind kind, int layer, Span<float> rows) => Drawn.Value.CopyTo(rows);

        private static float[] Draw()
        {
            var random = new Random(1);
            float[] rows = new float[DrawnScores.Tokens * DrawnScores.KvHeads * DrawnScores.HeadSize];
            for (int i = 0; i < rows.Length; i++)
            {
                rows[i] = 2 * random.NextSingle() - 1;
            }

            return rows;
        }
    }
}
