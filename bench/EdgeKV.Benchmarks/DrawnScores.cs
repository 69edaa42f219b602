using EdgeKV.Models;
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
        foreach (Statistic statistic in request.Statistics.Where(statistic => statistic is not TokenClasses))
        {
            values.Add(new(statistic, Draw(statistic)));
        }

        return new AttentionScores(CacheGeometry.Uniform(Layers, Heads, KvHeads, HeadSize, HeadSize), Tokens, values)
        {
            TokenMasks = request.Statistics.Any(statistic => statistic is TokenClasses) ? new TokenMasks(Every(50), Every(9)) : null,
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
        float[] values = new float[Layers * (statistic.IsPerAttentionHead ? Heads : KvHeads) * Tokens];
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

                    _ => 1 + even,
                };
            }
        });
        return new StatisticValues(ScoreBuffer.FromMemory(values), queries);
    }
}
