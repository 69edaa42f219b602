using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Configuration;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies;

/// <summary>What every policy promises, over random contexts: see <see cref="PolicyCases"/>.</summary>
public class PolicyPropertyTests
{
    private const int Contexts = 40;

    private static readonly Check[] Checks =
    [
        RandomContextsSpendsTheBudgetInAscendingRows,
        BudgetInRowsAndBytesIsNeverPassed,
        BudgetInBytesOfLayersThatDifferIsNeverPassed,
        ProtectedPositionsAreThereWhereTheBudgetHoldsThem,
        LargerRatioKeepsNothingThatTheSmallerDrops,
        PermutedHeadsPermutesThePlan,
        SharedPositionsAreTheSameInAllHeads,
        StatisticMissingNamesIt,
        NotFiniteNamesWhere,
        OnlyBudgetsThatLeaveNothingAreRefusedBefore,
    ];

    private delegate void Check(PolicyCase policy, ICompressionPolicy made, AttentionScores scores, Random random);

    public static TheoryData<string> Names => [.. PolicyCases.All.Select(policy => policy.Name)];

    [Fact]
    public void Cases_EveryRegisteredPolicy_IsAmongThem()
    {
        // These have property tests of their own; the rows of the last two follow from no budget.
        string[] others =
        [
            GlobalRanking.PolicyName, KVCompose.StructuredName, KVCompose.UnstructuredName, RazorAttention.PolicyName, FastGen.PolicyName,
        ];

        IEnumerable<string> tested = PolicyCases.All.Select(policy => policy.Create(new Random(1), 10).Name);

        Assert.Empty(PolicyRegistry.Entries.Select(entry => entry.Name).Except(others).Except(tested));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Plan_RandomContexts_SpendsTheBudgetInAscendingRows(string name) => ForEachContext(Named(name), RandomContextsSpendsTheBudgetInAscendingRows);

    [Theory]
    [MemberData(nameof(Names))]
    public void Plan_BudgetInRowsAndBytes_IsNeverPassed(string name) => ForEachContext(Named(name), BudgetInRowsAndBytesIsNeverPassed);

    [Theory]
    [MemberData(nameof(Names))]
    public void Plan_BudgetInBytesOfLayersThatDiffer_IsNeverPassed(string name) => ForEachContext(Named(name), BudgetInBytesOfLayersThatDifferIsNeverPassed);

    [Theory]
    [MemberData(nameof(Names))]
    public void Plan_ProtectedPositions_AreThereWhereTheBudgetHoldsThem(string name) => ForEachContext(Named(name), ProtectedPositionsAreThereWhereTheBudgetHoldsThem);

    [Theory]
    [MemberData(nameof(Names))]
    public void Plan_LargerRatio_KeepsNothingThatTheSmallerDrops(string name)
    {
        Assert.SkipUnless(Named(name).IsNested, $"{name} does not promise it.");
        ForEachContext(Named(name), LargerRatioKeepsNothingThatTheSmallerDrops);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Plan_PermutedHeads_PermutesThePlan(string name)
    {
        Assert.SkipUnless(Named(name).Permutes, $"{name} does not promise it.");
        ForEachContext(Named(name), PermutedHeadsPermutesThePlan);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Plan_SharedPositions_AreTheSameInAllHeads(string name) => ForEachContext(Named(name), SharedPositionsAreTheSameInAllHeads);

    [Theory]
    [MemberData(nameof(Names))]
    public void Plan_StatisticMissing_NamesIt(string name) => ForEachContext(Named(name), StatisticMissingNamesIt);

    [Theory]
    [MemberData(nameof(Names))]
    public void Plan_NotFinite_NamesWhere(string name) => ForEachContext(Named(name), NotFiniteNamesWhere);

    [Theory]
    [MemberData(nameof(Names))]
    public void EnsurePlannable_SmallBudgets_RefusesThoseThatLeaveNothing(string name) => ForEachContext(Named(name), OnlyBudgetsThatLeaveNothingAreRefusedBefore);

    [Theory]
    [InlineData("snapkv", "longer than its window: 64 tokens are not more than 64")]
    [InlineData("ada", "longer than its window")]
    [InlineData("pyramidkv", "longer than its window")]
    [InlineData("layer-budgets", "longer than its window")]
    [InlineData("global", "longer than its window")]
    [InlineData("finch", "longer than its question: 64 tokens are not more than 64")]
    public void EnsurePlannable_ContextTooShort_IsRefused(string name, string message)
    {
        ICompressionPolicy policy = name switch
        {
            "global" => new GlobalRanking(new SumScorer(new WeightedScorer(new SnapKV(), new ValueNorms()), new Knorm())),
            "finch" => new Finch { Window = 64 },
            _ => PolicyRegistry.Create(name, Budget.FromRatio(0.5)),
        };
        HeadLayout heads = HeadLayout.Uniform(3, 2);

        PlanException error = Assert.Throws<PlanException>(() => policy.EnsurePlannable(heads, 64));

        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        policy.EnsurePlannable(heads, 65);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void RowsDiffer_WherePoliciesSayIt_IsSeenInTheirPlans(string name)
    {
        bool says = false;
        bool seen = false;
        ForEachContext(Named(name), (_, made, scores, _) =>
        {
            bool differ = made.RowsDiffer(scores.KvHeads, scores.Tokens);
            ReadOnlySpan<int> counts = differ ? made.Plan(scores).Counts : [];
            says |= differ;
            seen |= counts.Length > 0 && counts.ContainsAnyExcept(counts[0]);
        });
        Assert.SkipUnless(says, $"{name} does not say it.");
        Assert.True(seen);
    }

    /// <summary>All of these checks for a case that is not listed.</summary>
    internal static void AssertAll(PolicyCase policy)
    {
        foreach (Check check in Checks)
        {
            ForEachContext(policy, check);
        }
    }

    private static void RandomContextsSpendsTheBudgetInAscendingRows(PolicyCase policy, ICompressionPolicy made, AttentionScores scores, Random random)
    {
        CompressionPlan plan = made.Plan(scores);

        // That positions ascend and are in range is what a plan checks itself; here it is checked once more.
        for (int list = 0; list < scores.KvHeads.Total; list++)
        {
            int[] positions = plan.Positions(scores.KvHeads.At(list).Layer, scores.KvHeads.At(list).Head).ToArray();
            Assert.Equal(positions.Distinct().Order(), positions);
            Assert.All(positions, position => Assert.InRange(position, 0, scores.Tokens - 1));
        }

        if (policy.Rows is { } rows)
        {
            long slack = policy.IsComposite && !scores.KvHeads.IsUniform ? scores.KvHeads.Most - 1 : 0;
            Assert.InRange(plan.TotalRows, rows(made, scores) - slack, rows(made, scores));
        }

        Assert.True(policy.IsRagged || plan.IsComposite);
        Assert.Equal(plan, made.Plan(scores));
        Assert.Equal(CompressionPlan.KeepAll(scores.KvHeads, scores.Tokens), All(made, scores));
    }

    private static void BudgetInRowsAndBytesIsNeverPassed(PolicyCase policy, ICompressionPolicy made, AttentionScores scores, Random random)
    {
        int rows = random.Next(1, scores.Tokens + 2);
        long lists = scores.KvHeads.Total;
        long bytes = lists * 300 + 100 * lists * rows + random.Next(0, 99);
        if (made is ChunkKV chunk && rows < chunk.Length && scores.Tokens >= chunk.Length)
        {
            Assert.Contains("holds no chunk", Assert.Throws<PlanException>(() => made.WithBudget(Budget.FromRows(rows)).Plan(scores)).Message, StringComparison.Ordinal);
            return;
        }

        CompressionPlan byRows = made.WithBudget(Budget.FromRows(rows)).Plan(scores);
        CompressionPlan byBytes = made.WithBudget(Budget.FromBytes(bytes)).Plan(scores, new RowCost(100, 3));

        Assert.InRange(byRows.TotalRows, 0, Math.Min(rows, scores.Tokens) * lists);
        Assert.Equal(byRows, byBytes);
    }

    private static void BudgetInBytesOfLayersThatDifferIsNeverPassed(PolicyCase policy, ICompressionPolicy made, AttentionScores scores, Random random)
    {
        const int Reserved = 3;
        long[] rowBytes = [.. Enumerable.Range(0, scores.Layers).Select(_ => 16L * random.Next(1, 20))];
        RowCost cost = new(rowBytes[0], Reserved) { BytesByLayer = rowBytes };
        long perToken = Enumerable.Range(0, scores.Layers).Sum(layer => scores.KvHeads[layer] * rowBytes[layer]);
        long bytes = perToken * (Reserved + random.Next(1, scores.Tokens + 2)) + random.Next(0, 99);
        ICompressionPolicy bounded = made.WithBudget(Budget.FromBytes(bytes));
        if (made is ChunkKV chunk && scores.Tokens >= chunk.Length && bounded.Budget.EqualRows(scores.KvHeads, scores.Tokens, cost) < chunk.Length)
        {
            Assert.Throws<PlanException>(() => bounded.Plan(scores, cost));
            return;
        }

        CompressionPlan plan = bounded.Plan(scores, cost);

        Assert.InRange(Enumerable.Range(0, scores.Layers).Sum(layer => (plan.Rows(layer) + Reserved * scores.KvHeads[layer]) * rowBytes[layer]), 0, bytes);
    }

    private static void ProtectedPositionsAreThereWhereTheBudgetHoldsThem(PolicyCase policy, ICompressionPolicy made, AttentionScores scores, Random random)
    {
        if (!policy.KeepsProtected || PolicyCase.ScorerOf(made) is not { } scorer)
        {
            return;
        }

        CompressionPlan plan = made.Plan(scores);
        for (int list = 0; list < scores.KvHeads.Total; list++)
        {
            int[] kept = plan.Positions(scores.KvHeads.At(list).Layer, scores.KvHeads.At(list).Head).ToArray();
            ProtectedRows rows = scorer.Protect(scores.Tokens, kept.Length);
            int first = Math.Min(rows.First, scores.Tokens);
            int last = Math.Min(rows.Last, scores.Tokens - first);
            bool fits = policy.IsRagged ? Fits(made, scores, first + last) : first + last <= kept.Length;
            if (fits)
            {
                Assert.Equal(Enumerable.Range(0, first), kept.Take(first));
                Assert.Equal(Enumerable.Range(scores.Tokens - last, last), kept.TakeLast(last));
            }
        }
    }

    private static void LargerRatioKeepsNothingThatTheSmallerDrops(PolicyCase policy, ICompressionPolicy made, AttentionScores scores, Random random)
    {
        if (!policy.IsNested)
        {
            return;
        }

        double low = random.NextDouble();
        CompressionPlan part = made.WithBudget(Budget.FromRatio(low + (1 - low) * random.NextDouble() * 0.999)).Plan(scores);
        CompressionPlan whole = made.WithBudget(Budget.FromRatio(low)).Plan(scores);

        for (int list = 0; list < scores.KvHeads.Total; list++)
        {
            Assert.Empty(part.Positions(scores.KvHeads.At(list).Layer, scores.KvHeads.At(list).Head).ToArray()
                .Except(whole.Positions(scores.KvHeads.At(list).Layer, scores.KvHeads.At(list).Head).ToArray()));
        }
    }

    private static void PermutedHeadsPermutesThePlan(PolicyCase policy, ICompressionPolicy made, AttentionScores scores, Random random)
    {
        if (!policy.Permutes)
        {
            return;
        }

        int tokens = random.Next(policy.LeastTokens, 60);
        int kvHeads = random.Next(2, 5);
        int[] order = [.. Enumerable.Range(0, kvHeads)];
        random.Shuffle(order);
        int seed = random.Next();
        ICompressionPolicy permuting = policy.Fit(policy.Create(new Random(seed), tokens), CacheGeometry.Uniform(3, kvHeads, kvHeads, 1, 1)).WithBudget(Budget.FromRatio(random.NextDouble()));
        using AttentionScores one = RandomScores.Permuted(permuting.Request, 3, kvHeads, tokens, seed, order: null);
        using AttentionScores other = RandomScores.Permuted(permuting.Request, 3, kvHeads, tokens, seed, order);

        CompressionPlan plan = permuting.Plan(one);
        CompressionPlan permuted = permuting.Plan(other);

        for (int layer = 0; layer < plan.Layers; layer++)
        {
            for (int head = 0; head < kvHeads; head++)
            {
                Assert.Equal(plan.Positions(layer, order[head]).ToArray(), permuted.Positions(layer, head).ToArray());
            }
        }
    }

    private static void SharedPositionsAreTheSameInAllHeads(PolicyCase policy, ICompressionPolicy made, AttentionScores scores, Random random)
    {
        if (policy.IsRagged || !(policy.SharesPositions ?? (made as IRowScorer)?.SharesPositions ?? false))
        {
            return;
        }

        CompressionPlan plan = made.Plan(scores);
        for (int list = 0; list < scores.KvHeads.Total; list++)
        {
            Assert.Equal(plan.Positions(scores.KvHeads.At(list).Layer, 0).ToArray(), plan.Positions(scores.KvHeads.At(list).Layer, scores.KvHeads.At(list).Head).ToArray());
        }
    }

    private static void StatisticMissingNamesIt(PolicyCase policy, ICompressionPolicy made, AttentionScores scores, Random random)
    {
        if (made.Request.Statistics.Count == 0)
        {
            return;
        }

        using AttentionScores empty = new(scores.Geometry, scores.Tokens, []);

        PlanException error = Assert.Throws<PlanException>(() => made.Plan(empty));

        Assert.Contains($"{made.Name} needs {made.Request}, but the scores hold nothing", error.Message, StringComparison.Ordinal);
    }

    private static void NotFiniteNamesWhere(PolicyCase policy, ICompressionPolicy made, AttentionScores scores, Random random)
    {
        if (!policy.LooksAtEveryRow)
        {
            Assert.Skip($"{policy.Name} does not promise it.");
        }

        foreach (Statistic statistic in PolicyCase.ScorerOf(made)?.Request.Statistics ?? made.Request.Statistics)
        {
            int head = scores.Geometry.Rows(statistic.IsPerAttentionHead)[scores.Layers - 1] - 1;
            using AttentionScores broken = RandomScores.Broken(scores, made.Request, statistic, layer: scores.Layers - 1, head, token: 0);

            PlanException error = Assert.Throws<PlanException>(() => made.Plan(broken));

            string kind = statistic.IsPerAttentionHead ? "attention head" : "KV head";
            Assert.Contains($"Layer {scores.Layers - 1}, {kind} {head}, token 0 has {statistic} NaN", error.Message, StringComparison.Ordinal);
        }
    }

    private static void OnlyBudgetsThatLeaveNothingAreRefusedBefore(PolicyCase policy, ICompressionPolicy made, AttentionScores scores, Random random)
    {
        for (double ratio = 0.9; ratio < 1; ratio = (1 + ratio) / 2)
        {
            ICompressionPolicy small = made.WithBudget(Budget.FromRatio(ratio));
            bool refused = Record.Exception(() => small.EnsurePlannable(scores.KvHeads, scores.Tokens)) is PlanException;
            bool fails = Record.Exception(() => small.Plan(scores).ThrowIfEmpty()) is PlanException;

            Assert.True(refused == fails || (fails && policy.FailsByScores), $"{small.Name} at {ratio} of {scores.Tokens} tokens: refused {refused}, fails {fails}");
        }
    }

    private static CompressionPlan All(ICompressionPolicy made, AttentionScores scores) => made switch
    {
        // The rows that reach its limit are all that there are.
        GlobalRanking { Limit: not null } ranking => (ranking with { Ratio = 0, Limit = -1e30 }).Plan(scores),
        PyramidKV => CompressionPlan.KeepAll(scores.KvHeads, scores.Tokens),
        _ => made.WithBudget(Budget.FromRatio(0)).Plan(scores),
    };

    private static bool Fits(ICompressionPolicy made, AttentionScores scores, int rows) => made switch
    {
        AdaKV or CriticalAdaKV => rows <= made.Budget.EqualRows(scores.KvHeads, scores.Tokens),
        LayerBudgets => false,
        LUKV lukv => (long)Math.Max(rows, lukv.Sinks + lukv.Recent) * scores.KvHeads.Total <= PolicyCase.Overall(made, scores),
        _ => (long)rows * scores.KvHeads.Total <= PolicyCase.Overall(made, scores),
    };

    private static PolicyCase Named(string name) => PolicyCases.All.Single(policy => policy.Name == name);

    private static void ForEachContext(PolicyCase policy, Check check)
    {
        for (int seed = 0; seed < Contexts; seed++)
        {
            var random = new Random(seed);
            int tokens = random.Next(policy.LeastTokens, 90);
            ICompressionPolicy made = policy.Create(random, tokens).WithBudget(Budget.FromRatio(random.Next(4) == 0 ? 0.8 : random.NextDouble()));
            CacheGeometry sizes = RandomGeometry.Of(random);
            made = policy.Fit(made, sizes);
            using AttentionScores scores = RandomScores.For(made.Request, sizes, random, tokens);
            check(policy, made, scores, random);
        }
    }
}
