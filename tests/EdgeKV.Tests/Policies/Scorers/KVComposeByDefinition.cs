using EdgeKV.Planning;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Scorers;

/// <summary>
/// KVCompose as its definition reads, step by step with comparison sorts over everything: the second route to one result. Shares no code
/// with the policy.
/// </summary>
internal static class KVComposeByDefinition
{
    public static CompressionPlan Plan(KVCompose policy, AttentionScores scores, long budget)
    {
        int layers = scores.Layers;
        int tokens = scores.Tokens;
        float[][][] s = new float[layers][][];
        for (int l = 0; l < layers; l++)
        {
            s[l] = LayerScores(policy, scores, l);
        }

        float[][][] sorted = [.. s.Select(layer => layer.Select(head => head.OrderDescending().ToArray()).ToArray())];

        // One list of ranks per unit: a layer, or a KV head of a layer.
        List<float[]> units = [];
        for (int l = 0; l < layers; l++)
        {
            if (policy.Structured)
            {
                units.Add([.. Enumerable.Range(0, tokens).Select(t => Composite(policy, sorted[l], t))]);
            }
            else
            {
                units.AddRange(sorted[l]);
            }
        }

        if (policy.FirstLayerLargest)
        {
            units[0] = [.. Enumerable.Range(0, tokens).Select(t => units.Max(unit => unit[t]))];
        }

        int[] rows = Share(policy, units, tokens, budget);
        int[] counts = new int[scores.KvHeads.Total];
        List<int> positions = [];
        for (int i = 0; i < counts.Length; i++)
        {
            (int layer, int head) = scores.KvHeads.At(i);
            counts[i] = policy.Structured ? rows[layer] : rows[i];
            float[] own = s[layer][head];
            positions.AddRange(Enumerable.Range(0, tokens).OrderByDescending(j => own[j]).ThenBy(j => j).Take(counts[i]).Order());
        }

        return new CompressionPlan(scores.KvHeads, tokens, counts, positions.ToArray());
    }

    private static float[][] LayerScores(KVCompose policy, AttentionScores scores, int layer)
    {
        int group = scores.GroupSize(layer);
        var maxima = new TaskAttention(policy.TaskSet, AttentionAggregate.Max);
        var sums = new TaskAttention(policy.TaskSet, AttentionAggregate.Sum);
        float[][] s = new float[scores.KvHeads[layer]][];
        for (int h = 0; h < s.Length; h++)
        {
            s[h] = new float[scores.Tokens];
            for (int j = 0; j < scores.Tokens; j++)
            {
                float sum = 0;
                for (int a = h * group; a < (h + 1) * group; a++)
                {
                    sum += policy.Aggregate == TaskAggregate.Max
                        ? scores.Values(maxima, layer, a)[j]
                        : scores.Values(sums, layer, a)[j] / scores.Queries(sums);
                }

                s[h][j] = sum / group;
                if (policy.ValueNorm)
                {
                    s[h][j] *= scores.ValueNorms(layer, h)[j];
                }
            }
        }

        if (!policy.Stabilize)
        {
            return s;
        }

        float[] mean = new float[scores.Tokens];
        for (int j = 0; j < mean.Length; j++)
        {
            float sum = 0;
            foreach (float[] head in s)
            {
                sum += head[j];
            }

            mean[j] = sum / s.Length;
        }

        return [.. s.Select(head => head.Zip(mean, (own, shared) => own + shared).ToArray())];
    }

    private static float Composite(KVCompose policy, float[][] sorted, int rank)
    {
        if (policy.Composite == CompositeScore.Max)
        {
            return sorted.Max(head => head[rank]);
        }

        float sum = 0;
        foreach (float[] head in sorted)
        {
            sum += head[rank];
        }

        return sum / sorted.Length;
    }

    // Takes block after block from the best to the worst while a whole block is left of the budget.
    private static int[] Share(KVCompose policy, List<float[]> units, int tokens, long budget)
    {
        int multiple = policy.RowMultiple;
        int protectedBlocks = (policy.LowerBound + multiple - 1) / multiple;
        var blocks =
            from unit in Enumerable.Range(0, units.Count)
            from block in Enumerable.Range(0, (tokens + multiple - 1) / multiple)
            let isProtected = block < protectedBlocks
            let tie = policy.FirstLayerLargest && !isProtected ? (unit == 0 ? units.Count : unit) : unit
            orderby isProtected descending, isProtected ? 0 : units[unit][block * multiple] descending, tie, block
            select (Unit: unit, Rows: Math.Min(multiple, tokens - block * multiple));
        int[] rows = new int[units.Count];
        if (budget >= (long)tokens * units.Count)
        {
            Array.Fill(rows, tokens);
            return rows;
        }

        foreach ((int unit, int count) in blocks)
        {
            if (budget < multiple)
            {
                break;
            }

            rows[unit] += count;
            budget -= count;
        }

        return rows;
    }
}
