using EdgeKV.Planning;
using EdgeKV.Policies.Configuration;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Allocators;

public class GlobalRankingPropertyTests
{
    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 400)];

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Plan_RandomScoresAndOptions_EqualsTheDefinition(int seed)
    {
        var random = new Random(seed);
        using AttentionScores scores = RandomScores(random);
        GlobalSettings policy = RandomPolicy(random, scores.Tokens);
        long budget = policy.Budget!.RaggedRows(scores.KvHeads, scores.Tokens).Units;

        CompressionPlan plan = policy.Plan(scores);

        Assert.Equal(GlobalRankingByDefinition.Plan(policy, scores, budget), plan);
        Assert.Equal(plan, policy.Plan(scores));
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Plan_RandomScoresAndOptions_SpendsTheBudgetAndKeepsProtectedRows(int seed)
    {
        var random = new Random(seed + 10_000);
        using AttentionScores scores = RandomScores(random);
        GlobalSettings policy = RandomPolicy(random, scores.Tokens) with { Threshold = null };
        long budget = policy.Budget!.RaggedRows(scores.KvHeads, scores.Tokens).Units;
        int first = Math.Min(policy.Protected, scores.Tokens);
        int recent = Math.Min(policy.Recent, scores.Tokens - first);
        bool fits = (long)(first + recent) * scores.KvHeads.Total <= budget;

        CompressionPlan plan = policy.Plan(scores);

        Assert.Equal(budget, plan.TotalRows);
        for (int layer = 0; layer < scores.Layers; layer++)
        {
            for (int head = 0; head < scores.KvHeads[layer]; head++)
            {
                int[] positions = plan.Positions(layer, head).ToArray();
                Assert.Equal(positions.Distinct().Order(), positions);
                if (fits)
                {
                    Assert.Equal(Enumerable.Range(0, first), positions.Take(first));
                    Assert.Equal(Enumerable.Range(scores.Tokens - recent, recent), positions.TakeLast(recent));
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Plan_SmallerBudgetOrHigherThreshold_IsPartOfTheLargerPlan(int seed)
    {
        var random = new Random(seed + 20_000);
        using AttentionScores scores = RandomScores(random);
        GlobalSettings policy = RandomPolicy(random, scores.Tokens) with { Threshold = null };
        double low = random.NextDouble();
        double high = low + (1 - low) * random.NextDouble() * 0.999;
        double threshold = random.NextDouble() * -16;
        GlobalSettings unbound = policy with { Budget = Budget.FromRatio(0) };

        AssertPart((policy with { Budget = Budget.FromRatio(0.9) }).Plan(scores), (policy with { Budget = Budget.FromRatio(0.8) }).Plan(scores));
        AssertPart((policy with { Budget = Budget.FromRatio(high) }).Plan(scores), (policy with { Budget = Budget.FromRatio(low) }).Plan(scores));
        AssertPart((unbound with { Threshold = threshold + 2 }).Plan(scores), (unbound with { Threshold = threshold }).Plan(scores));
        AssertPart((policy with { Threshold = threshold }).Plan(scores), policy.Plan(scores));
    }

    [Theory]
    [InlineData(nameof(RowScore.Learned))]
    [InlineData(nameof(RowScore.Repeat))]
    [InlineData(nameof(RowScore.Both))]
    public void Plan_PermutedHeads_PermutesThePlan(string source) => TestScores.AssertPermutes(
        new GlobalSettings { Source = Enum.Parse<RowScore>(source), Budget = Budget.FromRatio(0.7), Recent = 2 }.ToPolicy(),
        (layers, heads, tokens, values) => TestScores.Of(
            layers, heads, heads, tokens, 1, TestScores.Buffer(values), learned: TestScores.Buffer(values)));

    [Fact]
    public async Task Plan_ManyThreads_GiveOnePlan()
    {
        using AttentionScores scores = TestScores.Of(6, 8, 4, 500, 1, learned: TestScores.Buffer(TestScores.Random(6, 6 * 4 * 500)));
        var policy = new GlobalSettings();
        CompressionPlan expected = policy.Plan(scores);

        CompressionPlan[] plans = await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => Task.Run(() => policy.Plan(scores))));

        Assert.All(plans, plan => Assert.Equal(expected, plan));
    }

    private static void AssertPart(CompressionPlan part, CompressionPlan whole)
    {
        for (int layer = 0; layer < whole.Layers; layer++)
        {
            for (int head = 0; head < whole.KvHeads[layer]; head++)
            {
                Assert.Subset(
                    new HashSet<int>(whole.Positions(layer, head).ToArray()), new HashSet<int>(part.Positions(layer, head).ToArray()));
            }
        }
    }

    private static AttentionScores RandomScores(Random random)
    {
        int layers = random.Next(1, 6);
        int kvHeads = random.Next(1, 5);
        int heads = kvHeads * random.Next(1, 4);
        int tokens = random.Next(1, 90);
        bool tied = random.Next(2) == 0;

        // Logarithms of attention: most below zero, some above.
        float[] learned = [.. Values(kvHeads).Select(value => 1 - value * 16)];
        return TestScores.Of(
            layers, heads, kvHeads, tokens, 1, TestScores.Buffer(Values(heads)), learned: TestScores.Buffer(learned));

        float[] Values(int rows)
        {
            int length = layers * rows * tokens;
            return tied ? TestScores.Tied(random.Next(), length, random.Next(1, 12)) : TestScores.Random(random.Next(), length);
        }
    }

    private static GlobalSettings RandomPolicy(Random random, int tokens)
    {
        var policy = new GlobalSettings
        {
            Source = (RowScore)random.Next(3),
            Budget = Budget.FromRatio(random.Next(4) == 0 ? 0 : random.NextDouble()),
            Threshold = random.Next(3) == 0 ? random.NextDouble() * -16 : null,
        };
        policy = random.Next(2) == 0 ? policy : policy with { Recent = random.Next(2) * random.Next(tokens + 2) };
        return random.Next(2) == 0 ? policy : policy with { Protected = random.Next(tokens + 2) };
    }
}
