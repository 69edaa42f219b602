using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;
using EdgeKV.Tests.Policies.Scorers;

namespace EdgeKV.Tests.Policies.Allocators;

/// <summary>LU-KV's budgets: curves, how they become rows, and which rows.</summary>
public class LUKVTests
{
    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 300)];

    [Fact]
    public void Plan_HandmadeCurve_SharesTheBudgetAndKeepsTheBestRows()
    {
        // Two heads of ten rows; the second loses its rows first. Key norms: the lower, the better.
        using AttentionScores scores = Norms(2, 10, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
        LUKV policy = new() { Scorer = new Knorm(), Sinks = 0, Recent = 0, Curves = Curves(2, SecondFirst) };

        Assert.Equal([10, 4], (policy with { Ratio = 0.3 }).Plan(scores).Counts.ToArray());
        Assert.Equal([6, 7, 8, 9], (policy with { Ratio = 0.3 }).Plan(scores).Positions(0, 1).ToArray());
        Assert.Equal([10, 0], (policy with { Ratio = 0.5 }).Plan(scores).Counts.ToArray());
        Assert.Equal([4, 0], (policy with { Budget = Budget.FromRows(2) }).Plan(scores).Counts.ToArray());
        Assert.Equal([0, 1, 2, 3], (policy with { Budget = Budget.FromRows(2) }).Plan(scores).FlatPositions.ToArray());

        // The first and the last row of both heads take two of four rows from the first.
        CompressionPlan ends = (policy with { Budget = Budget.FromRows(2), Sinks = 1, Recent = 1 }).Plan(scores);
        Assert.Equal([0, 9, 0, 9], ends.FlatPositions.ToArray());
        Assert.Equal([0, 1, 9, 0, 9], (policy with { Ratio = 0.75, Sinks = 1, Recent = 1 }).Plan(scores).FlatPositions.ToArray());

        // Five rows for each head cannot be: all get as many.
        Assert.Equal([2, 2], (policy with { Budget = Budget.FromRows(2), Sinks = 4, Recent = 1 }).Plan(scores).Counts.ToArray());
        Assert.Equal([2, 2], (policy with { Budget = Budget.FromRows(2), Composed = true }).Plan(scores).Counts.ToArray());
    }

    [Fact]
    public void Plan_RatioBetweenTwoPercents_LiesOnTheLineBetweenThem()
    {
        // At 25 % both lose 0.25, at 26 % the first loses 0.27: halfway 0.26.
        static double Removed(int percent, int list) => percent < 25 ? 0 : percent == 25 ? 0.25 : list == 0 ? 0.27 : 0.25;
        using AttentionScores scores = Norms(2, 1000, TestScores.Random(1, 2000));
        LUKV policy = new() { Scorer = new Knorm(), Curves = Curves(2, Removed) };

        Assert.Equal([750, 750], (policy with { Budget = Budget.FromRows(750) }).Plan(scores).Counts.ToArray());
        Assert.Equal([740, 750], (policy with { Budget = Budget.FromRows(745) }).Plan(scores).Counts.ToArray());
        Assert.Equal([730, 750], (policy with { Budget = Budget.FromRows(740) }).Plan(scores).Counts.ToArray());
    }

    [Fact]
    public void Plan_BeyondTheCurve_GoesOnToAllAndToNothing()
    {
        using AttentionScores scores = Norms(2, 1000, TestScores.Random(1, 2000));
        LUKV policy = new() { Scorer = new Knorm(), Sinks = 0, Recent = 0, Curves = Curves(2, SecondFirst) };

        Assert.Equal([1000, 1000], (policy with { Ratio = 0 }).Plan(scores).Counts.ToArray());

        // At 0.5 % half of what 1 % removes, at 99.5 % half of what 99 % keeps.
        Assert.Equal([1000, 990], (policy with { Budget = Budget.FromRows(995) }).Plan(scores).Counts.ToArray());
        Assert.Equal([10, 0], (policy with { Budget = Budget.FromRows(5) }).Plan(scores).Counts.ToArray());
    }

    [Fact]
    public void ShareRows_Fractions_GoToTheLargestThenToTheLowerHead()
    {
        Assert.Equal([6, 4, 5], LUKV.ShareRows([0.55, 0.45, 0.5], [1, 1, 1], 15, 10, 0));
        Assert.Equal([3, 4, 8], LUKV.ShareRows([0.34, 0.36, 0.8], [1, 1, 1], 15, 10, 0));

        // Shares of 20 rows for a budget of 10, and of 10 rows for one of 20.
        Assert.Equal([4, 6], LUKV.ShareRows([0.8, 1.2], [1, 1], 10, 10, 0));
        Assert.Equal([8, 12], LUKV.ShareRows([0.2, 0.3], [1, 1], 20, 20, 0));

        // What a full head cannot take, the others get; at last one whose share is none.
        Assert.Equal([10, 6], LUKV.ShareRows([0.9, 0.1], [1, 1], 16, 10, 0));
        Assert.Equal([10, 6], LUKV.ShareRows([0.9, 0], [1, 1], 16, 10, 0));
        Assert.Equal([0, 0], LUKV.ShareRows([0.9, 0], [1, 1], 0, 10, 0));
        Assert.Equal([3, 3, 4], LUKV.ShareRows([0, 0.1, 0.9], [1, 1, 1], 10, 10, 3));
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void ShareRows_RandomShares_AreWithinARowOfTheDefinition(int seed)
    {
        var random = new Random(seed);
        int tokens = random.Next(1, 500);
        double[] shares = [.. Enumerable.Range(0, random.Next(1, 40)).Select(_ => 0.001 + random.NextDouble() * 0.999)];
        int least = random.Next(0, Math.Min(tokens, 6) + 1);
        long budget = random.NextInt64((long)least * shares.Length, (long)tokens * shares.Length + 1);

        int[] counts = LUKV.ShareRows(shares, [.. shares.Select(_ => 1L)], budget, tokens, least);

        Assert.Equal(budget, counts.Sum(rows => (long)rows));
        double[] rows = RowsByDefinition(shares, budget, tokens, least);
        for (int list = 0; list < counts.Length; list++)
        {
            Assert.InRange(counts[list], least, tokens);
            Assert.InRange(counts[list], Math.Floor(rows[list] - 1e-6), Math.Ceiling(rows[list] + 1e-6));
        }
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Plan_RandomCurves_KeepsFirstAndLastRowsAndTheBudget(int seed)
    {
        var random = new Random(seed);
        var sizes = RandomGeometry.Of(random);
        int tokens = random.Next(2, 90);
        LUKV policy = new()
        {
            Scorer = random.Next(2) == 0 ? new Knorm() : new Tova(),
            Curves = RandomCurves(random, sizes),
            Ratio = random.NextDouble() * 0.999,
            Sinks = random.Next(0, 6),
            Recent = random.Next(0, 4),
        };
        using AttentionScores scores = RandomScores.For(policy.Request, sizes, random, tokens);

        CompressionPlan plan = StatisticScores.AssertSound(policy, scores);

        long budget = policy.Budget.RaggedRows(sizes.KvHeads, tokens).Units;
        Assert.Equal(budget, plan.TotalRows);
        if (policy.Scorer is Knorm)
        {
            StatisticScores.AssertKeeps(plan, new ProtectedRows(policy.Sinks, policy.Recent));
        }

        int least = (int)Math.Min(policy.Sinks + policy.Recent, budget / (sizes.KvHeads.Total));
        Assert.All(plan.Counts.ToArray(), rows => Assert.True(rows >= least));
    }

    [Fact]
    public void Plan_ScorerWithACurveOfItsOwn_TakesIt()
    {
        using AttentionScores scores = Norms(2, 10, TestScores.Random(1, 20));
        float[] even = Shares(2, (percent, _) => percent / 100.0);
        LUKVCurves curves = new(HeadLayout.Uniform(1, 2), [new("knorm", even), new(LUKVCurves.AnyScorer, Shares(2, SecondFirst))]);
        LUKV policy = new() { Scorer = new Knorm(), Curves = curves, Ratio = 0.5, Sinks = 0, Recent = 0 };

        Assert.Equal(["any scorer", "knorm"], curves.Scorers);
        Assert.Equal([5, 5], policy.Plan(scores).Counts.ToArray());
        Assert.Equal([10, 0], (policy with { Scorer = new RandomRows() }).Plan(scores).Counts.ToArray());
    }

    [Fact]
    public void Plan_NoCurvesOrAnotherModels_SaysWhatIsNeeded()
    {
        using AttentionScores scores = Norms(2, 10, TestScores.Random(1, 20));

        Assert.Contains(
            "edgekv calibrate MODEL --for lu-kv",
            Assert.Throws<ArgumentException>(() => new LUKV { Scorer = new Knorm() }.Plan(scores)).Message,
            StringComparison.Ordinal);
        Assert.Contains(
            "curves of 1 layers x 3 KV heads, but the scores are of 1 layers x 2 KV heads",
            Assert.Throws<PlanException>(() => new LUKV { Scorer = new Knorm(), Curves = Curves(3, SecondFirst) }.Plan(scores)).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Curves_ThatAreNone_AreRefused()
    {
        float[] good = Shares(1, (percent, _) => percent / 100.0);
        float[] falling = [.. good];
        falling[50] = 0.4f;
        float[] large = [.. good];
        large[98] = 1.5f;
        float[] broken = [.. good];
        broken[0] = float.NaN;

        Assert.Contains("no curve for 'any scorer'", Error("knorm", good), StringComparison.Ordinal);
        Assert.Contains("has 98 shares; 1 layers x 1 KV heads at 99 ratios need 99", Error("any scorer", good[1..]), StringComparison.Ordinal);
        Assert.Contains("has 0.4 for layer 0, KV head 0 at 51 %", Error("any scorer", falling), StringComparison.Ordinal);
        Assert.Contains("at 99 %", Error("any scorer", large), StringComparison.Ordinal);
        Assert.Contains("at 1 %", Error("any scorer", broken), StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(() => new LUKVCurves(HeadLayout.Uniform(0, 1), []));
        Assert.Throws<ArgumentOutOfRangeException>(() => new LUKV { Sinks = -1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new LUKV { Recent = -1 });

        static string Error(string scorer, float[] curve) => Assert.Throws<ArgumentException>(() => new LUKVCurves(HeadLayout.Uniform(1, 1), [new(scorer, curve)])).Message;
    }

    [Fact]
    public void Curves_Equal_CompareByValue()
    {
        Assert.Equal(Curves(2, SecondFirst), Curves(2, SecondFirst));
        Assert.Equal(Curves(2, SecondFirst).GetHashCode(), Curves(2, SecondFirst).GetHashCode());
        Assert.NotEqual(Curves(2, SecondFirst), Curves(2, (percent, _) => percent / 100.0));
    }

    // Rows in the proportion of the shares within the bounds: between two neighbouring bounds the sum of all is a straight line of the scale.
    private static double[] RowsByDefinition(double[] shares, long budget, int tokens, int least)
    {
        double[] bounds = [0, .. shares.SelectMany(share => (double[])[least / (share * tokens), 1 / share]).Order()];
        double scale = bounds[^1];
        for (int i = 1; i < bounds.Length; i++)
        {
            double before = Rows(bounds[i - 1]).Sum();
            double after = Rows(bounds[i]).Sum();
            if (after >= budget)
            {
                scale = after > before ? double.Lerp(bounds[i - 1], bounds[i], (budget - before) / (after - before)) : bounds[i];
                break;
            }
        }

        return Rows(scale);

        double[] Rows(double scale) => [.. shares.Select(share => Math.Clamp(share * tokens * scale, least, tokens))];
    }

    private static double SecondFirst(int percent, int list) => Math.Clamp(percent / 50.0 - (list == 0 ? 1 : 0), 0, 1);

    private static LUKVCurves RandomCurves(Random random, CacheGeometry sizes)
    {
        double[] powers = [.. Enumerable.Range(0, sizes.KvHeads.Total).Select(_ => Math.Exp(2 * random.NextDouble() - 1))];
        return new LUKVCurves(
            sizes.KvHeads, [new(LUKVCurves.AnyScorer, Shares(powers.Length, (percent, list) => Math.Pow(percent / 100.0, powers[list])))]);
    }

    private static LUKVCurves Curves(int heads, Func<int, int, double> removed) => new(HeadLayout.Uniform(1, heads), [new(LUKVCurves.AnyScorer, Shares(heads, removed))]);

    private static float[] Shares(int lists, Func<int, int, double> removed) =>
    [
        .. from percent in Enumerable.Range(1, LUKVCurves.Ratios)
           from list in Enumerable.Range(0, lists)
           select (float)removed(percent, list),
    ];

    private static AttentionScores Norms(int heads, int tokens, float[] norms) => ScorerTests.Scores(new KeyNorms(), heads, heads, tokens, norms);
}
