using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Configuration;
using EdgeKV.Policies.Scorers;
using EdgeKV.Reading;
using EdgeKV.Scoring;
using EdgeKV.Tests.Policies;

namespace EdgeKV.Tests.Reading;

public class ReadingPlannerTests
{
    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 400)];

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Next_AnyChunks_EndsWithThePlanMadeAfterwards(int seed)
    {
        var random = new Random(seed);
        (int layers, int heads, int tokens, float[] learned) = RandomScores(random);
        GlobalSettings policy = RandomPolicy(random, tokens);
        using AttentionScores all = Slice(learned, layers, heads, tokens, 0, tokens);

        CompressionPlan last = Read(policy, random.Next(70), learned, layers, heads, tokens, RandomChunks(random, tokens))[^1];

        Assert.Equal(policy.Plan(all), last);
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Next_EveryChunk_IsTheDefinitionAndBringsNothingBack(int seed)
    {
        var random = new Random(seed + 10_000);
        (int layers, int heads, int tokens, float[] learned) = RandomScores(random);
        GlobalSettings policy = RandomPolicy(random, tokens);
        int keepLatest = random.Next(20);
        int[] chunks = RandomChunks(random, tokens);
        long budget = policy.Budget!.RaggedRows(HeadLayout.Uniform(layers, heads), tokens).Units;

        CompressionPlan[] plans = Read(policy, keepLatest, learned, layers, heads, tokens, chunks);

        int read = 0;
        for (int i = 0; i < plans.Length; i++)
        {
            read += chunks[i];
            int latest = read == tokens ? 0 : Math.Min(keepLatest, read);
            Assert.Equal(read, plans[i].ContextTokens);
            Assert.InRange(plans[i].TotalRows, 0, budget + (long)latest * layers * heads);
            Assert.Equal(ByDefinition(policy, learned, layers * heads, tokens, read, latest, budget), Rows(plans[i]));
            if (i > 0)
            {
                int before = read - chunks[i];
                Assert.Superset(Rows(plans[i]).Where(row => row.Token < before).ToHashSet(), Rows(plans[i - 1]));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Next_SmallerBudget_IsPartOfTheLargerPlan(int seed)
    {
        var random = new Random(seed + 20_000);
        (int layers, int heads, int tokens, float[] learned) = RandomScores(random);
        GlobalSettings policy = RandomPolicy(random, tokens) with { Threshold = null };
        int[] chunks = RandomChunks(random, tokens);

        CompressionPlan[] small = Read(policy with { Budget = Budget.FromRatio(0.9) }, 4, learned, layers, heads, tokens, chunks);
        CompressionPlan[] large = Read(policy with { Budget = Budget.FromRatio(0.8) }, 4, learned, layers, heads, tokens, chunks);

        Assert.All(small.Zip(large), pair => Assert.Subset(Rows(pair.Second), Rows(pair.First)));
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Next_RowsCloseUp_EndsWithTheBestOfEveryHead(int seed)
    {
        var random = new Random(seed + 30_000);
        (int layers, int heads, int tokens, float[] learned) = RandomScores(random);
        GlobalSettings policy = RandomPolicy(random, tokens) with { Threshold = null, Recent = 0 };
        int rows = policy.Budget!.EqualRows(HeadLayout.Uniform(layers, heads), tokens);
        var planner = new ReadingPlanner(policy.ToPolicy(), HeadLayout.Uniform(layers, heads), tokens, random.Next(20), closesUp: true);

        // Which tokens each head's rows are: the plans know indices alone.
        List<int>[] there = [.. Enumerable.Range(0, layers * heads).Select(_ => new List<int>())];
        foreach (int chunk in RandomChunks(random, tokens))
        {
            int read = planner.Read;
            using AttentionScores scores = Slice(learned, layers, heads, tokens, read, chunk);
            CompressionPlan plan = planner.Next(scores);
            Assert.Equal(there[0].Count + chunk, plan.ContextTokens);
            Assert.Equal(-1, plan.Counts.IndexOfAnyExcept(plan.Counts[0]));
            for (int list = 0; list < there.Length; list++)
            {
                there[list].AddRange(Enumerable.Range(read, chunk));
                there[list] = [.. plan.Positions(list / heads, list % heads).ToArray().Select(index => there[list][index])];
            }
        }

        for (int list = 0; list < there.Length; list++)
        {
            IEnumerable<int> best = Enumerable.Range(0, tokens)
                .OrderBy(token => token < policy.Protected ? 0 : 1)
                .ThenByDescending(token => token < policy.Protected ? 0 : learned[list * tokens + token])
                .ThenBy(token => token)
                .Take(rows);
            Assert.Equal(best.Order(), there[list]);
        }
    }

    [Fact]
    public void Create_ThresholdWhereRowsCloseUp_IsRefused() => Assert.Contains(
        "By a threshold KV heads keep different numbers",
        Assert.Throws<PlanException>(() => new ReadingPlanner(new GlobalSettings { Threshold = -5 }.ToPolicy(), HeadLayout.Uniform(1, 1), 10, 0, closesUp: true)).Message,
        StringComparison.Ordinal);

    [Fact]
    public void Next_LatestTokens_StayBesideTheBudgetUntilTheNextChunk()
    {
        // Falling: every token is worse than those before. Two rows of ten may stay.
        float[] learned = [.. Enumerable.Range(0, 10).Select(i => -(float)i)];
        var policy = new GlobalSettings { Budget = Budget.FromRows(2), Protected = 0, Recent = 0 };

        CompressionPlan[] plans = Read(policy, 2, learned, 1, 1, 10, [4, 3, 3]);

        Assert.Equal([0, 1, 2, 3], plans[0].FlatPositions.ToArray());
        Assert.Equal([0, 1, 5, 6], plans[1].FlatPositions.ToArray());
        Assert.Equal([0, 1], plans[2].FlatPositions.ToArray());
    }

    [Fact]
    public void Next_ProtectedLastPositions_AreTheWholeContexts()
    {
        // Only the last two of ten count as recent, though each chunk had a last one.
        float[] learned = [.. Enumerable.Range(0, 10).Select(i => -(float)i)];
        var policy = new GlobalSettings { Budget = Budget.FromRatio(0.6), Protected = 0, Recent = 2 };

        CompressionPlan[] plans = Read(policy, 0, learned, 1, 1, 10, [6, 4]);

        Assert.Equal([0, 1, 2, 3], plans[0].FlatPositions.ToArray());
        Assert.Equal([0, 1, 8, 9], plans[1].FlatPositions.ToArray());
    }

    [Fact]
    public void Next_BudgetInBytes_IsThatOfTheWholeContext()
    {
        float[] learned = TestScores.Random(4, 160);
        var policy = new GlobalSettings { Budget = Budget.FromBytes(6_050) };
        var cost = new RowCost(BytesPerRow: 100, ReservedPerHead: 3);

        var planner = new ReadingPlanner(policy.ToPolicy(), HeadLayout.Uniform(2, 2), 40, 0, cost);

        Assert.Equal(48, planner.Budget.Units);
        using AttentionScores first = Slice(learned, 2, 2, 40, 0, 20);
        Assert.Equal(48, planner.Next(first).TotalRows);
        Assert.Throws<PlanException>(() => new ReadingPlanner(policy.ToPolicy(), HeadLayout.Uniform(2, 2), 40, 0));
    }

    [Theory]
    [InlineData("global:source=repeat", "repeat scores need the whole context")]
    [InlineData("global:source=both", "repeat+learned scores need the whole context")]
    [InlineData("global:source=learned,weight=value-norm", "weighted learned scores need the whole context")]
    [InlineData("ragged:scorer=snapkv", "snapkv scores need the whole context")]
    [InlineData("ragged:scorer=global,head-floor=0.5", "leave out floors")]
    [InlineData("ragged:scorer=global,row-multiple=8", "leave out floors")]
    public void Create_RankingThatNeedsTheWholeContext_IsRefused(string policy, string expected)
    {
        var ranking = (GlobalRanking)PolicyOptions.Parse(policy).Create();

        PlanException refusal = Assert.Throws<PlanException>(() => new ReadingPlanner(ranking, HeadLayout.Uniform(1, 1), 10, 0));

        Assert.Contains(expected, refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Next_AnyReadingScorer_RanksByItsScores()
    {
        // The scorer turns the order round.
        float[] learned = [.. Enumerable.Range(0, 10).Select(i => (float)i)];
        GlobalRanking policy = new(new Reversed()) { Budget = Budget.FromRows(2) };
        ReadingPlanner planner = new(policy, HeadLayout.Uniform(1, 1), 10, keepLatest: 0);
        using AttentionScores first = Slice(learned, 1, 1, 10, 0, 6);
        using AttentionScores second = Slice(learned, 1, 1, 10, 6, 4);
        using AttentionScores all = Slice(learned, 1, 1, 10, 0, 10);

        Assert.Equal([0, 1], planner.Next(first).FlatPositions.ToArray());
        Assert.Equal(policy.Plan(all), planner.Next(second));
    }

    [Fact]
    public void Next_WrongScores_AreRefusedAndNothingIsRead()
    {
        float[] learned = TestScores.Random(4, 40);
        float[] broken = [.. learned];
        broken[2 * 10 + 7] = float.NaN;
        var planner = new ReadingPlanner(new GlobalRanking(new LearnedScorer()), HeadLayout.Uniform(2, 2), 10, 0);
        using AttentionScores seen = TestScores.Of(2, 2, 2, 5, 1, TestScores.Buffer(TestScores.Random(1, 20)));
        using AttentionScores others = Slice(learned, 4, 1, 10, 0, 5);
        using AttentionScores first = Slice(learned, 2, 2, 10, 0, 5);
        using AttentionScores notANumber = Slice(broken, 2, 2, 10, 5, 5);
        using AttentionScores whole = Slice(learned, 2, 2, 10, 0, 10);

        Assert.Contains("needs learned, but the scores hold max(context)", Assert.Throws<PlanException>(() => planner.Next(seen)).Message, StringComparison.Ordinal);
        Assert.Contains("4 layers x 1", Assert.Throws<PlanException>(() => planner.Next(others)).Message, StringComparison.Ordinal);
        planner.Next(first);
        Assert.Contains("5 of 10", Assert.Throws<PlanException>(() => planner.Next(whole)).Message, StringComparison.Ordinal);
        Assert.Contains(
            "Layer 1, KV head 0, token 7", Assert.Throws<PlanException>(() => planner.Next(notANumber)).Message, StringComparison.Ordinal);
        Assert.Equal(5, planner.Read);
    }

    // The best rows of those read, ranked as the whole context ranks them, and the latest ones: no chunks, nothing dropped before.
    private static HashSet<(int List, int Token)> ByDefinition(
        GlobalSettings policy, float[] learned, int lists, int tokens, int read, int latest, long budget)
    {
        // Of the whole context's last positions, those that have been read.
        int recent = Math.Max(0, policy.Recent - (tokens - read));
        var rows =
            from list in Enumerable.Range(0, lists)
            from token in Enumerable.Range(0, read)
            let tier = token < policy.Protected ? 0 : token >= read - recent ? 1 : 2
            let score = learned[list * tokens + token]
            where tier < 2 || policy.Threshold is not { } threshold || score >= threshold
            orderby tier, tier == 1 ? -token : 0, tier == 2 ? score : 0 descending, list, token
            select (list, token);
        return
        [
            .. rows.Take((int)budget),
            .. from list in Enumerable.Range(0, lists) from token in Enumerable.Range(read - latest, latest) select (list, token),
        ];
    }

    private static CompressionPlan[] Read(
        GlobalSettings policy, int keepLatest, float[] learned, int layers, int heads, int tokens, int[] chunks)
    {
        var planner = new ReadingPlanner(policy.ToPolicy(), HeadLayout.Uniform(layers, heads), tokens, keepLatest);
        List<CompressionPlan> plans = [];
        foreach (int chunk in chunks)
        {
            using AttentionScores scores = Slice(learned, layers, heads, tokens, planner.Read, chunk);
            plans.Add(planner.Next(scores));
        }

        Assert.Equal(tokens, planner.Read);
        return [.. plans];
    }

    private static AttentionScores Slice(float[] learned, int layers, int heads, int tokens, int start, int count)
    {
        float[] slice = new float[layers * heads * count];
        for (int list = 0; list < layers * heads; list++)
        {
            learned.AsSpan(list * tokens + start, count).CopyTo(slice.AsSpan(list * count));
        }

        return TestScores.Of(layers, heads, heads, count, queries: 0, learned: TestScores.Buffer(slice));
    }

    private static HashSet<(int List, int Token)> Rows(CompressionPlan plan)
    {
        HashSet<(int, int)> rows = [];
        for (int list = 0; list < plan.KvHeads.Total; list++)
        {
            foreach (int token in plan.Positions(plan.KvHeads.At(list).Layer, plan.KvHeads.At(list).Head))
            {
                rows.Add((list, token));
            }
        }

        return rows;
    }

    private static int[] RandomChunks(Random random, int tokens)
    {
        int most = random.Next(1, tokens + 1);
        List<int> chunks = [];
        for (int left = tokens; left > 0; left -= chunks[^1])
        {
            chunks.Add(Math.Min(left, random.Next(1, most + 1)));
        }

        return [.. chunks];
    }

    private static (int Layers, int Heads, int Tokens, float[] Learned) RandomScores(Random random)
    {
        int layers = random.Next(1, 5);
        int heads = random.Next(1, 5);
        int tokens = random.Next(1, 90);
        int length = layers * heads * tokens;
        float[] values = random.Next(2) == 0
            ? TestScores.Tied(random.Next(), length, random.Next(1, 12))
            : TestScores.Random(random.Next(), length);

        // Logarithms of attention: most below zero, some above.
        return (layers, heads, tokens, [.. values.Select(value => 1 - value * 16)]);
    }

    private static GlobalSettings RandomPolicy(Random random, int tokens)
    {
        var policy = new GlobalSettings
        {
            Budget = random.Next(5) switch
            {
                0 => Budget.FromRatio(0),
                1 => Budget.FromRows(random.Next(1, tokens + 2)),
                _ => Budget.FromRatio(random.NextDouble()),
            },
            Recent = random.Next(2) == 0 ? 0 : random.Next(0, tokens + 2),
            Threshold = random.Next(3) == 0 ? random.NextDouble() * -16 : null,
        };
        return random.Next(2) == 0 ? policy : policy with { Protected = random.Next(0, tokens + 2) };
    }

    private sealed record Reversed : IReadingScorer
    {
        public string Name => "reversed";

        public ScoreRequest Request => new(new Learned());

        public bool SharesPositions => false;

        public ProtectedRows Protect(int tokens, int rows) => default;

        public void Score(AttentionScores scores, int layer, Span<float> destination)
        {
            for (int head = 0; head < scores.KvHeads[layer]; head++)
            {
                System.Numerics.Tensors.TensorPrimitives.Negate(scores.Learned(layer, head), destination[(head * scores.Tokens)..]);
            }
        }
    }
}
