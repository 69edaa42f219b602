using EdgeKV.Models;
using EdgeKV.Numerics;
using EdgeKV.Planning;

namespace EdgeKV.Measurements.Subjects;

/// <summary>Random plans, the same for a seed on every machine.</summary>
public static class Plans
{
    /// <summary>All heads keep the same random positions, the last one among them: stock llama.cpp goes on only from there.</summary>
    /// <param name="kvHeads">KV heads of each layer.</param>
    /// <param name="tokens">Context tokens.</param>
    /// <param name="share">The share kept, 0 to 1.</param>
    /// <param name="seed">Seed.</param>
    public static CompressionPlan Uniform(HeadLayout kvHeads, int tokens, double share, int seed) =>
        CompressionPlan.Uniform(kvHeads, tokens, [.. Draw(new Random(seed), tokens - 1, (int)(tokens * share) - 1), tokens - 1]);

    /// <summary>Other positions in every head, other counts in every layer, equal counts within a layer.</summary>
    public static CompressionPlan Composite(HeadLayout kvHeads, int tokens, int seed)
    {
        var random = new Random(seed);
        int[] counts = new int[kvHeads.Total];
        for (int layer = 0; layer < kvHeads.Layers; layer++)
        {
            // A few rows at least: an empty layer is the ragged plans' business.
            counts.AsSpan(kvHeads.First(layer), kvHeads[layer]).Fill(random.Next(tokens / 20 + 1, tokens + 1));
        }

        return Fill(random, kvHeads, tokens, counts);
    }

    /// <summary>Other counts in every head, some of them zero and one of them all.</summary>
    public static CompressionPlan Ragged(HeadLayout kvHeads, int tokens, int seed)
    {
        var random = new Random(seed);
        int[] counts = new int[kvHeads.Total];
        for (int i = 0; i < counts.Length; i++)
        {
            counts[i] = random.NextDouble() < 0.15 ? 0 : random.Next(1, tokens);
        }

        // Both extremes, whatever was drawn.
        counts[random.Next(counts.Length)] = tokens;
        counts[(Array.IndexOf(counts, tokens) + 1) % counts.Length] = 0;
        return Fill(random, kvHeads, tokens, counts);
    }

    /// <summary>As many rows as a composite plan of one ratio, spread unevenly over layers and heads.</summary>
    /// <param name="kvHeads">KV heads of each layer.</param>
    /// <param name="tokens">Context tokens.</param>
    /// <param name="ratio">The share removed.</param>
    /// <param name="ragged">Whether heads of a layer differ.</param>
    /// <param name="seed">Seed.</param>
    public static CompressionPlan AtRatio(HeadLayout kvHeads, int tokens, double ratio, bool ragged, int seed)
    {
        var random = new Random(seed);
        int groups = ragged ? kvHeads.Total : kvHeads.Layers;
        long total = CompressionRatio.Keep((long)groups * tokens, ratio);
        double[] weights = [.. Enumerable.Range(0, groups).Select(_ => 0.2 + random.NextDouble())];
        double sum = weights.Sum();
        int[] rows = [.. weights.Select(w => (int)Math.Min(tokens, total * w / sum))];
        for (long left = total - rows.Sum(r => (long)r); left > 0;)
        {
            for (int i = 0; i < groups && left > 0; i++)
            {
                if (rows[i] < tokens)
                {
                    rows[i]++;
                    left--;
                }
            }
        }

        int[] counts = ragged ? rows : [.. rows.SelectMany((count, layer) => Enumerable.Repeat(count, kvHeads[layer]))];
        return Fill(random, kvHeads, tokens, counts);
    }

    /// <summary>Every kept position moved up by one, the last one to where there is room: same counts, wrong rows.</summary>
    public static CompressionPlan Shifted(CompressionPlan plan)
    {
        List<int> positions = [];
        for (int layer = 0; layer < plan.Layers; layer++)
        {
            for (int head = 0; head < plan.KvHeads[layer]; head++)
            {
                positions.AddRange(plan.Positions(layer, head).ToArray().Select(p => (p + 1) % plan.ContextTokens).Order());
            }
        }

        return new CompressionPlan(plan.KvHeads, plan.ContextTokens, plan.Counts, positions.ToArray());
    }

    private static CompressionPlan Fill(Random random, HeadLayout kvHeads, int tokens, int[] counts) =>
        new(kvHeads, tokens, counts, [.. counts.SelectMany(c => Draw(random, tokens, c))]);

    private static int[] Draw(Random random, int tokens, int count)
    {
        int[] all = [.. Enumerable.Range(0, tokens)];
        random.Shuffle(all);
        Array.Sort(all, 0, count);
        return all[..count];
    }
}
