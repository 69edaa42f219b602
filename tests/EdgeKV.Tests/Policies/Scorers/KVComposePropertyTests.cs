using EdgeKV.Planning;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Scorers;

public class KVComposePropertyTests
{
    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 400)];

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Plan_RandomScoresAndOptions_EqualsTheDefinition(int seed)
    {
        var random = new Random(seed);
        using AttentionScores scores = RandomScores(random);
        KVCompose policy = RandomPolicy(random, scores.Tokens);
        long budget = policy.Structured
            ? policy.Budget.CompositeRows(scores.KvHeads, scores.Tokens).Units
            : policy.Budget.RaggedRows(scores.KvHeads, scores.Tokens).Units;

        CompressionPlan plan = policy.Plan(scores);

        Assert.Equal(KVComposeByDefinition.Plan(policy, scores, budget), plan);
        Assert.Equal(plan, policy.Plan(scores));
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Plan_RandomScoresAndOptions_MeetsBudgetAndLowerBound(int seed)
    {
        var random = new Random(seed + 10_000);
        using AttentionScores scores = RandomScores(random);
        KVCompose policy = RandomPolicy(random, scores.Tokens);
        int headsPerUnit = policy.Structured ? scores.KvHeads[0] : 1;
        long budget = policy.Structured
            ? policy.Budget.CompositeRows(scores.KvHeads, scores.Tokens).Units
            : policy.Budget.RaggedRows(scores.KvHeads, scores.Tokens).Units;
        int units = scores.KvHeads.Total / headsPerUnit;

        CompressionPlan plan = policy.Plan(scores);

        Assert.InRange(plan.TotalRows, Math.Max(0, budget - policy.RowMultiple + 1) * headsPerUnit, budget * headsPerUnit);
        Assert.True(!policy.Structured || plan.IsComposite);
        bool boundFits = (long)units * (policy.LowerBound + policy.RowMultiple) <= budget;
        foreach (int count in plan.Counts)
        {
            Assert.True(count % policy.RowMultiple == 0 || count == scores.Tokens, $"{count} rows are no multiple of {policy.RowMultiple}");
            Assert.True(!boundFits || count >= Math.Min(policy.LowerBound, scores.Tokens), $"{count} rows are below the bound");
        }
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Plan_HigherRatio_KeepsNothingThatALowerOneDrops(int seed)
    {
        var random = new Random(seed + 20_000);
        using AttentionScores scores = RandomScores(random);
        double low = random.NextDouble();
        double high = low + (1 - low) * random.NextDouble() * 0.999;
        KVCompose policy = RandomPolicy(random, scores.Tokens);

        CompressionPlan more = (policy with { Ratio = low }).Plan(scores);
        CompressionPlan less = (policy with { Ratio = high }).Plan(scores);

        for (int layer = 0; layer < scores.Layers; layer++)
        {
            for (int head = 0; head < scores.KvHeads[layer]; head++)
            {
                Assert.Subset(
                    new HashSet<int>(more.Positions(layer, head).ToArray()),
                    new HashSet<int>(less.Positions(layer, head).ToArray()));
            }
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Plan_PermutedHeads_PermutesThePlan(bool structured) => TestScores.AssertPermutes(
        // Head means would make ties between heads.
        new KVCompose { Ratio = 0.7, Structured = structured, Stabilize = structured },
        (layers, heads, tokens, values) => TestScores.Of(layers, heads, heads, tokens, 1, TestScores.Buffer(values)));

    [Fact]
    public void Plan_ScoresTimesPowerOfTwo_LeavesThePlan()
    {
        float[] values = TestScores.Random(5, 4 * 6 * 200);
        using AttentionScores one = TestScores.Of(4, 6, 3, 200, 1, TestScores.Buffer(values));
        using AttentionScores other = TestScores.Of(4, 6, 3, 200, 1, TestScores.Buffer([.. values.Select(v => v * 1024)]));

        Assert.Equal(new KVCompose().Plan(one), new KVCompose().Plan(other));
    }

    [Fact]
    public async Task Plan_ManyThreads_GiveOnePlan()
    {
        using AttentionScores scores = TestScores.Of(6, 8, 4, 500, 1, TestScores.Buffer(TestScores.Random(6, 6 * 8 * 500)));
        var policy = new KVCompose { Ratio = 0.8 };
        CompressionPlan expected = policy.Plan(scores);

        CompressionPlan[] plans = await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => Task.Run(() => policy.Plan(scores))));

        Assert.All(plans, plan => Assert.Equal(expected, plan));
    }

    private static AttentionScores RandomScores(Random random)
    {
        int layers = random.Next(1, 6);
        int kvHeads = random.Next(1, 5);
        int heads = kvHeads * random.Next(1, 4);
        int tokens = random.Next(1, 90);
        long queries = random.Next(1, 20);
        bool tied = random.Next(2) == 0;
        return TestScores.Of(
            layers, heads, kvHeads, tokens, queries, Values(heads), Values(heads), keyNorms: null, Values(kvHeads));

        ScoreBuffer Values(int rows)
        {
            int length = layers * rows * tokens;
            return TestScores.Buffer(tied ? TestScores.Tied(random.Next(), length, random.Next(1, 12)) : TestScores.Random(random.Next(), length));
        }
    }

    private static KVCompose RandomPolicy(Random random, int tokens)
    {
        bool structured = random.Next(2) == 0;
        return new KVCompose
        {
            Ratio = random.Next(4) == 0 ? 0 : random.NextDouble(),
            Structured = structured,
            Aggregate = random.Next(2) == 0 ? TaskAggregate.Max : TaskAggregate.Mean,
            ValueNorm = random.Next(2) == 0,
            Stabilize = random.Next(2) == 0,
            Composite = random.Next(2) == 0 ? CompositeScore.Mean : CompositeScore.Max,
            LowerBound = random.Next(2) == 0 ? 0 : random.Next(0, tokens + 2),
            FirstLayerLargest = structured && random.Next(3) == 0,
            RowMultiple = random.Next(2) == 0 ? 1 : random.Next(1, 12),
        };
    }
}
