using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies;

/// <summary>Scores of any statistics for tests, and what all policies promise of them.</summary>
internal static class StatisticScores
{
    /// <summary>Scores of one statistic, [layers, heads or KV heads, tokens].</summary>
    public static AttentionScores Of(int layers, int heads, int kvHeads, int tokens, Statistic statistic, float[] values) =>
        Of(layers, heads, kvHeads, tokens, (statistic, values));

    /// <summary>Scores of several statistics; a window has as many queries as the context allows it.</summary>
    public static AttentionScores Of(int layers, int heads, int kvHeads, int tokens, params (Statistic Statistic, float[] Values)[] seen) => new(
        CacheGeometry.Uniform(layers, heads, kvHeads, 1, 1),
        tokens,
        seen.Select(one => KeyValuePair.Create(
            one.Statistic,
            new StatisticValues(TestScores.Buffer(one.Values), one.Statistic is WindowAttention window ? Math.Min(window.Queries, tokens) : 0))));

    /// <summary>Asserts that the same scores give the same plan, on however many threads, and that no budget is passed.</summary>
    /// <returns>The plan.</returns>
    public static CompressionPlan AssertSound(ICompressionPolicy policy, AttentionScores scores)
    {
        long budget = policy.Budget.RaggedRows(scores.KvHeads, scores.Tokens).Units;

        CompressionPlan plan = policy.Plan(scores);
        CompressionPlan[] again = [.. new int[4].AsParallel().Select(_ => policy.Plan(scores))];

        Assert.All(again, other => Assert.Equal(plan, other));
        Assert.InRange(plan.TotalRows, 0, budget);
        return plan;
    }

    /// <summary>Asserts that every KV head keeps its first and its last positions, as many of each as it can.</summary>
    public static void AssertKeeps(CompressionPlan plan, ProtectedRows rows)
    {
        int first = Math.Min(rows.First, plan.ContextTokens);
        int last = Math.Min(rows.Last, plan.ContextTokens - first);
        for (int layer = 0; layer < plan.Layers; layer++)
        {
            for (int head = 0; head < plan.KvHeads[layer]; head++)
            {
                int[] kept = plan.Positions(layer, head).ToArray();
                Assert.Equal(Enumerable.Range(0, Math.Min(first, kept.Length)), kept.Take(first));
                int recent = Math.Clamp(kept.Length - first, 0, last);
                Assert.Equal(Enumerable.Range(plan.ContextTokens - recent, recent), kept.TakeLast(recent));
            }
        }
    }
}
