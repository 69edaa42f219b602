using EdgeKV.Numerics;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Scorers;

/// <summary>What holds for every policy that scores rows and keeps each KV head's best.</summary>
internal static class ScorerAssert
{
    /// <summary>A policy's scores, [layers, kvHeads, tokens].</summary>
    public static float[] Scores(IRowScorer scorer, AttentionScores scores)
    {
        int layer = scores.KvHeads[0] * scores.Tokens;
        float[] written = new float[scores.Layers * layer];
        written.AsSpan().Fill(float.NaN);
        for (int l = 0; l < scores.Layers; l++)
        {
            scorer.Score(scores, l, written.AsSpan(l * layer, layer));
        }

        return written;
    }

    /// <summary>The scores of rows that are not protected are those of a second route, in double.</summary>
    /// <param name="scorer">The policy.</param>
    /// <param name="scores">What it sees.</param>
    /// <param name="definition">Gives the scores of a layer and KV head, [tokens].</param>
    /// <param name="tolerance">The largest difference, as a share of the largest score.</param>
    public static void EqualDefinition(IRowScorer scorer, AttentionScores scores, Func<int, int, double[]> definition, double tolerance = 1e-5)
    {
        float[] own = Scores(scorer, scores);
        ProtectedRows safe = scorer.Protect(scores.Tokens, scores.Tokens);
        for (int list = 0; list < scores.KvHeads.Total; list++)
        {
            double[] expected = definition(scores.KvHeads.At(list).Layer, scores.KvHeads.At(list).Head);
            double scale = expected.Skip(safe.First).SkipLast(safe.Last).Select(Math.Abs).DefaultIfEmpty().Max();
            for (int token = safe.First; token < scores.Tokens - safe.Last; token++)
            {
                float score = own[list * scores.Tokens + token];
                Assert.True(
                    Math.Abs(score - expected[token]) <= tolerance * scale,
                    $"layer and KV head {scores.KvHeads.At(list)}, token {token}: {score} for {expected[token]}");
            }
        }
    }

    /// <summary>
    /// Plans meet the budget, hold what is protected and beside it the best scores, earlier positions first; more ratio keeps nothing that less
    /// ratio drops; permuted heads permute the plan.
    /// </summary>
    /// <param name="policy">The policy.</param>
    /// <param name="draw">Makes random scores from a seed and an order of the three KV heads.</param>
    public static void Properties(ScoredPolicy policy, Func<int, int[], RowScores> draw)
    {
        for (int seed = 0; seed < 20; seed++)
        {
            var random = new Random(seed);
            int[] order = [0, 1, 2];
            using RowScores drawn = draw(seed, order);
            random.Shuffle(order);
            using RowScores permuted = draw(seed, order);
            AttentionScores scores = drawn.For(policy);
            double low = random.NextDouble();
            double high = low + (1 - low) * random.NextDouble() * 0.999;

            CompressionPlan more = policy.WithBudget(Budget.FromRatio(low)).Plan(scores);
            CompressionPlan less = policy.WithBudget(Budget.FromRatio(high)).Plan(scores);
            CompressionPlan other = policy.WithBudget(Budget.FromRatio(high)).Plan(permuted.For(policy));

            HoldsTheBest(policy, scores, more, low);
            HoldsTheBest(policy, scores, less, high);
            for (int layer = 0; layer < less.Layers; layer++)
            {
                for (int head = 0; head < less.KvHeads[layer]; head++)
                {
                    int[] kept = less.Positions(layer, head).ToArray();
                    Assert.Subset(new HashSet<int>(more.Positions(layer, head).ToArray()), new HashSet<int>(kept));
                    Assert.Equal(less.Positions(layer, order[head]).ToArray(), other.Positions(layer, head).ToArray());
                }
            }
        }
    }

    private static void HoldsTheBest(ScoredPolicy policy, AttentionScores scores, CompressionPlan plan, double ratio)
    {
        int tokens = scores.Tokens;
        int rows = (int)CompressionRatio.Keep(tokens, ratio);
        float[] own = Scores(policy, scores);
        ProtectedRows safe = policy.Protect(tokens, rows);
        for (int list = 0; list < scores.KvHeads.Total; list++)
        {
            IEnumerable<int> best = Enumerable.Range(0, tokens)
                .OrderBy(j => j < safe.First ? 0 : j >= tokens - safe.Last ? 1 : 2)
                .ThenBy(j => j < safe.First ? j : j >= tokens - safe.Last ? -j : 0)
                .ThenByDescending(j => own[list * tokens + j])
                .ThenBy(j => j)
                .Take(rows)
                .Order();
            Assert.Equal(best, plan.Positions(scores.KvHeads.At(list).Layer, scores.KvHeads.At(list).Head).ToArray());
        }
    }
}
