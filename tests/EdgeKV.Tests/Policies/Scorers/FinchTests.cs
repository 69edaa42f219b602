using EdgeKV.Numerics;
using EdgeKV.Planning;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Scorers;

public class FinchTests
{
    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 200)];

    [Fact]
    public void Score_HandmadeWeights_CountsLaterQueriesMore()
    {
        // 5 tokens, the last 2 are the question: queries 3 and 4 with weights (8, 4, 0) and (1, 3, 4) on the columns that are scored.
        using AttentionScores scores = StatisticScores.Of(1, 1, 1, 5, new LateWindowAttention(2), [28, 24, 16, 9, 9]);
        float[] written = new float[5];

        new Finch { Window = 2 }.Score(scores, 0, written);

        // (8 * 3 + 1 * 4) / 2 and so on.
        Assert.Equal([14, 12, 8, 0, 0], written);
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Plan_RandomWeights_EqualsTheDefinition(int seed)
    {
        var random = new Random(seed);
        int layers = random.Next(1, 4);
        int kvHeads = random.Next(1, 4);
        int group = 1 << random.Next(0, 3);
        int window = random.Next(1, 9);
        int tokens = window + random.Next(1, 50);
        int rows = layers * kvHeads * group;

        // Weights that are small whole numbers: sums are exact in whatever order.
        float[,,] weights = new float[rows, window, tokens];
        for (int i = 0; i < weights.Length; i++)
        {
            weights[i / (window * tokens), i / tokens % window, i % tokens] = random.Next(0, 64);
        }

        using AttentionScores scores = StatisticScores.Of(
            layers, kvHeads * group, kvHeads, tokens, new LateWindowAttention(window), Sums());
        int kept = random.Next(0, tokens + 1);
        var policy = new Finch { Window = window, Budget = Budget.FromRatio(1 - (kept + 0.5) / (tokens + 1)) };
        kept = (int)CompressionRatio.Keep(tokens, policy.Ratio.GetValueOrDefault());

        CompressionPlan plan = StatisticScores.AssertSound(policy, scores);

        for (int list = 0; list < layers * kvHeads; list++)
        {
            int[] expected =
            [
                .. Enumerable.Range(0, tokens)
                    .OrderBy(token => token < tokens - window)
                    .ThenByDescending(token => token < tokens - window ? Score(list, token) : token)
                    .ThenBy(token => token)
                    .Take(kept)
                    .Order(),
            ];
            Assert.Equal(expected, plan.Positions(list / kvHeads, list % kvHeads).ToArray());
        }

        double Score(int list, int token) => Enumerable.Range(0, group * window)
            .Sum(i => (double)weights[list * group + i / window, i % window, token] * (tokens - window + i % window));

        float[] Sums() =>
        [
            .. Enumerable.Range(0, rows * tokens).Select(
                cell => Enumerable.Range(0, window).Sum(query => weights[cell / tokens, query, cell % tokens] * (tokens - window + query))),
        ];
    }

    [Fact]
    public void Plan_NoWindow_SaysThatItIsNeeded()
    {
        using AttentionScores scores = StatisticScores.Of(1, 1, 1, 5, new WindowAttention(1), new float[5]);

        Assert.Contains("Window", Assert.Throws<ArgumentException>(() => new Finch().Plan(scores)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Plan_ContextNoLongerThanTheQuestion_IsRefused()
    {
        using AttentionScores scores = StatisticScores.Of(1, 1, 1, 2, new LateWindowAttention(2), new float[2]);

        Assert.Contains(
            "longer than its question",
            Assert.Throws<PlanException>(() => new Finch { Window = 2 }.Plan(scores)).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Plan_PermutedHeads_PermutesThePlan() => TestScores.AssertPermutes(
        new Finch { Window = 1, Ratio = 0.7 },
        (layers, heads, tokens, values) => StatisticScores.Of(layers, heads, heads, tokens, new LateWindowAttention(1), values));
}
