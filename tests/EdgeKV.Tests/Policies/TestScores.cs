using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies;

/// <summary>Scores for tests: given as arrays, or drawn from a seed.</summary>
internal static class TestScores
{
    /// <summary>Scores with as many KV heads as attention heads: [layer][head][token] maxima.</summary>
    public static AttentionScores OneHeadPerGroup(float[][][] max) =>
        Grouped(max, max[0].Length);

    /// <summary>[layer][head][token] maxima, shared by the given number of KV heads.</summary>
    public static AttentionScores Grouped(float[][][] max, int kvHeads) => new(
        max.Length, max[0].Length, kvHeads, max[0][0].Length, queries: 1, max: Buffer(Flat(max)));

    public static ScoreBuffer Buffer(float[] values) => ScoreBuffer.FromMemory(values);

    /// <summary>Attention-like: most weights small, a few large.</summary>
    public static float[] Random(int seed, int length)
    {
        var random = new Random(seed);
        float[] values = new float[length];
        for (int i = 0; i < length; i++)
        {
            values[i] = MathF.Pow(random.NextSingle(), 6);
        }

        return values;
    }

    /// <summary>Few levels, so that ties are everywhere.</summary>
    public static float[] Tied(int seed, int length, int levels)
    {
        var random = new Random(seed);
        float[] values = new float[length];
        for (int i = 0; i < length; i++)
        {
            values[i] = random.Next(levels) / 8f;
        }

        return values;
    }

    /// <summary>Whole numbers, each once, in random order: sums of a few of them are exact in float32.</summary>
    public static float[] Distinct(int seed, int length)
    {
        float[] values = new float[length];
        for (int i = 0; i < length; i++)
        {
            values[i] = i;
        }

        new Random(seed).Shuffle(values);
        return values;
    }

    private static float[] Flat(float[][][] max) => [.. max.SelectMany(layer => layer).SelectMany(head => head)];
}
