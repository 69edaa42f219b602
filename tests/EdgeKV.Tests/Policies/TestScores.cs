using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies;

/// <summary>Scores for tests: given as arrays, or drawn from a seed.</summary>
internal static class TestScores
{
    /// <summary>Scores with as many KV heads as attention heads: [layer][head][token] maxima.</summary>
    public static AttentionScores OneHeadPerGroup(float[][][] max) =>
        Grouped(max, max[0].Length);

    /// <summary>[layer][head][token] maxima, shared by the given number of KV heads.</summary>
    public static AttentionScores Grouped(float[][][] max, int kvHeads) => Of(
        max.Length, max[0].Length, kvHeads, max[0][0].Length, queries: 1, max: Buffer(Flat(max)));

    /// <summary>Scores of the given statistics; maxima and sums are those of a task set, or of the context and of the context repeated.</summary>
    public static AttentionScores Of(
        int layers,
        int heads,
        int kvHeads,
        int tokens,
        long queries,
        ScoreBuffer? max = null,
        ScoreBuffer? sum = null,
        ScoreBuffer? keyNorms = null,
        ScoreBuffer? valueNorms = null,
        ScoreBuffer? learned = null,
        TaskSet? taskSet = null)
    {
        Dictionary<Statistic, StatisticValues> values = [];
        foreach (TaskSet tasks in taskSet is null ? (TaskSet[])[TaskSet.Context, TaskSet.Repeat] : [taskSet])
        {
            Add(new TaskAttention(tasks, AttentionAggregate.Max), max, queries);
            Add(new TaskAttention(tasks, AttentionAggregate.Sum), sum, queries);
        }

        Add(new KeyNorms(), keyNorms, 0);
        Add(new ValueNorms(), valueNorms, 0);
        Add(new Learned(), learned, 0);
        return new AttentionScores(CacheGeometry.Uniform(layers, heads, kvHeads, 1, 1), tokens, values);

        void Add(Statistic statistic, ScoreBuffer? buffer, long seen)
        {
            if (buffer is not null)
            {
                values.Add(statistic, new StatisticValues(buffer, seen));
            }
        }
    }

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

    /// <summary>Multiples of 2^-21 below 1: sums of a few of them are exact in float32.</summary>
    public static float[] Exact(int seed, int length)
    {
        var random = new Random(seed);
        float[] values = new float[length];
        for (int i = 0; i < length; i++)
        {
            values[i] = random.Next(1 << 21) / (float)(1 << 21);
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

    /// <summary>[layers, heads, tokens] random scores, two of them the given value: one where it is said, one in a later layer.</summary>
    public static float[] Broken(float value, int layers, int heads, int tokens, (int Layer, int Head, int Token) first)
    {
        float[] values = Random(3, layers * heads * tokens);
        values[(first.Layer * heads + first.Head) * tokens + first.Token] = value;
        values[(layers - 1) * heads * tokens + 1] = value;
        return values;
    }

    /// <summary>Asserts that a policy keeps for every head the same positions wherever in its layer the head stands.</summary>
    /// <param name="policy">The policy.</param>
    /// <param name="scores">Makes its scores of layers, heads, tokens and values [layers, heads, tokens].</param>
    public static void AssertPermutes(ICompressionPolicy policy, Func<int, int, int, float[], AttentionScores> scores)
    {
        const int Layers = 3;
        const int Heads = 4;
        const int Tokens = 60;
        for (int seed = 0; seed < 50; seed++)
        {
            // Distinct whole numbers: no rounding and no tie that the heads' order could decide.
            float[] values = Distinct(seed, Layers * Heads * Tokens);
            int[] order = [.. Enumerable.Range(0, Heads)];
            new Random(seed).Shuffle(order);
            float[] permuted = new float[values.Length];
            for (int row = 0; row < Layers * Heads; row++)
            {
                int from = row / Heads * Heads + order[row % Heads];
                values.AsSpan(from * Tokens, Tokens).CopyTo(permuted.AsSpan(row * Tokens));
            }

            using AttentionScores one = scores(Layers, Heads, Tokens, values);
            using AttentionScores other = scores(Layers, Heads, Tokens, permuted);

            CompressionPlan plan = policy.Plan(one);
            CompressionPlan permutedPlan = policy.Plan(other);

            for (int layer = 0; layer < Layers; layer++)
            {
                for (int head = 0; head < Heads; head++)
                {
                    Assert.Equal(plan.Positions(layer, order[head]).ToArray(), permutedPlan.Positions(layer, head).ToArray());
                }
            }
        }
    }

    private static float[] Flat(float[][][] max) => [.. max.SelectMany(layer => layer).SelectMany(head => head)];
}
