using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Policies.Allocators;
using EdgeKV.Scoring;

namespace EdgeKV.Tests.Policies.Allocators;

public sealed class DuoAttentionTests : IDisposable
{
    private static readonly DuoAttentionGates Gates = new([[0.9, 0.1], [-3, 0.5], [7, 0.5]]);

    private readonly string _file = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());

    public static TheoryData<int> Seeds => [.. Enumerable.Range(0, 200)];

    public void Dispose() => File.Delete(_file);

    [Theory]
    [InlineData(0.0, new[] { 5, 5, 5, 5, 5, 5 })]
    [InlineData(0.2, new[] { 5, 5, 3, 5, 5, 5 })]
    [InlineData(0.25, new[] { 5, 3, 3, 5, 5, 5 })]
    [InlineData(0.5, new[] { 5, 3, 3, 5, 5, 3 })]
    [InlineData(0.75, new[] { 5, 3, 3, 3, 5, 3 })]
    [InlineData(1.0, new[] { 3, 3, 3, 3, 3, 3 })]
    public void Plan_Share_CutsTheHeadsOfLowestGate(double share, int[] rows)
    {
        using AttentionScores scores = new(CacheGeometry.Uniform(3, 2, 2, 1, 1), 5, []);

        // round(6 * 0.25) = 2 and round(6 * 0.75) = 4, halves to even; of the gates of 0.5 layer 1 keeps its rows.
        CompressionPlan plan = new DuoAttention { Gates = Gates, StreamingShare = share, Sinks = 1, Recent = 2 }.Plan(scores);

        Assert.Equal(rows, plan.Counts.ToArray());
        for (int list = 0; list < 6; list++)
        {
            Assert.Equal(rows[list] == 5 ? [0, 1, 2, 3, 4] : [0, 3, 4], plan.Positions(list / 2, list % 2).ToArray());
        }
    }

    [Fact]
    public void Plan_BudgetAlone_CutsAsFewHeadsAsItNeeds()
    {
        using AttentionScores scores = new(CacheGeometry.Uniform(3, 2, 2, 1, 1), 5, []);
        var policy = new DuoAttention { Gates = Gates, Sinks = 1, Recent = 2 };

        // 6 heads of 5 rows, each cut saves 2: 24 rows need 3 cuts.
        Assert.Equal([5, 3, 3, 5, 5, 3], (policy with { Budget = Budget.FromRows(4) }).Plan(scores).Counts.ToArray());
        Assert.Equal(18, (policy with { Budget = Budget.FromRows(3) }).Plan(scores).TotalRows);
        Assert.Equal(0, (policy with { Ratio = 0 }).Plan(scores).Ratio);
        Assert.Throws<PlanException>(() => (policy with { Budget = Budget.FromRows(2) }).Plan(scores));
        Assert.Throws<PlanException>(() => (policy with { StreamingShare = 0.5, Ratio = 0.5 }).Plan(scores));
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Plan_RandomGates_KeepsItsPromises(int seed)
    {
        var random = new Random(seed);
        var sizes = RandomGeometry.Of(random);
        using AttentionScores scores = RandomScores.For(ScoreRequest.None, sizes, random, random.Next(1, 90));
        int lists = sizes.KvHeads.Total;
        DuoAttentionGates gates = new(Enumerable.Range(0, sizes.Layers.Count).Select(
            layer => Enumerable.Range(0, sizes.KvHeads[layer]).Select(_ => random.Next(4) / 2.0 - 0.25).ToArray()));
        double share = random.NextDouble();
        var policy = new DuoAttention { Gates = gates, StreamingShare = share, Sinks = random.Next(0, 9), Recent = random.Next(0, 90) };

        CompressionPlan plan = StatisticScores.AssertSound(policy, scores);

        StatisticScores.AssertKeeps(plan, new ProtectedRows(policy.Sinks, policy.Recent));
        int ends = Math.Min(policy.Sinks + policy.Recent, scores.Tokens);
        int[] cut = [.. Enumerable.Range(0, lists).Where(list => plan.Counts[list] < scores.Tokens)];
        Assert.All(cut, list => Assert.Equal(ends, plan.Counts[list]));
        Assert.Equal(ends < scores.Tokens ? (int)Math.Round(lists * share) : 0, cut.Length);
        double highest = cut.Length > 0 ? cut.Max(list => gates.Values[list]) : 0;
        Assert.True(cut.Length == 0 || Enumerable.Range(0, lists).Except(cut).All(list => gates.Values[list] >= highest));

        // r = share * (1 - (sink + recent) / n), with the share that rounding leaves.
        Assert.Equal((double)cut.Length / lists * (1 - (double)ends / scores.Tokens), plan.Ratio, 1e-9);
    }

    [Fact]
    public void Plan_NoGatesOrAnotherModels_SaysWhatIsNeeded()
    {
        using AttentionScores scores = new(CacheGeometry.Uniform(3, 2, 1, 1, 1), 5, []);

        Assert.Contains("Gates", Assert.Throws<ArgumentException>(() => new DuoAttention().Plan(scores)).Message, StringComparison.Ordinal);
        Assert.Contains(
            "gates of 3 layers x 2 KV heads, but the scores are of 3 layers x 1",
            Assert.Throws<PlanException>(() => new DuoAttention { Gates = Gates }.Plan(scores)).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Load_Table_ReadsAndClipsIt()
    {
        File.WriteAllText(_file, "9.000000e-01\t0.1\n-3\t0.5\r\n7 0.5\n\n");

        DuoAttentionGates gates = DuoAttentionGates.Load(_file);

        Assert.Equal(Gates, gates);
        Assert.Equal(Gates.GetHashCode(), gates.GetHashCode());
        Assert.Equal([0.9, 0.1, 0, 0.5, 1, 0.5], gates.Values.ToArray());
        Assert.NotEqual(Gates, new DuoAttentionGates([[0.9, 0.1, 0], [0.5, 1, 0.5]]));
    }

    [Theory]
    [InlineData("0.1\t0.2\n\n0.3\tx\n", "line 3: 'x' is no gate")]
    [InlineData("nan\n", "line 1: 'nan' is no gate")]
    [InlineData("\n", "has no gates")]
    public void Load_NoTable_NamesTheLine(string text, string expected)
    {
        File.WriteAllText(_file, text);

        string message = Assert.Throws<ProfileException>(() => DuoAttentionGates.Load(_file)).Message;

        Assert.Contains(expected, message, StringComparison.Ordinal);
        Assert.Contains(_file, message, StringComparison.Ordinal);
    }

    [Fact]
    public void Load_NoFile_NamesIt() => Assert.Contains(
        _file, Assert.Throws<ProfileException>(() => DuoAttentionGates.Load(_file)).Message, StringComparison.Ordinal);

    [Fact]
    public void Gates_WrongInput_IsRefused()
    {
        Assert.Throws<ArgumentException>(() => new DuoAttentionGates([]));
        Assert.Throws<ArgumentException>(() => new DuoAttentionGates([[]]));
        Assert.Throws<ArgumentException>(() => new DuoAttentionGates([[1, 2], []]));
        Assert.Throws<ArgumentException>(() => new DuoAttentionGates([[1, double.NaN]]));
    }
}
