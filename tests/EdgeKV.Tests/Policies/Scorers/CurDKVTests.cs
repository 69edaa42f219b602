using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;
using EdgeKV.Tests.Scoring;

namespace EdgeKV.Tests.Policies.Scorers;

public class CurDKVTests
{
    [Fact]
    public void Score_WindowsOfTwo_MultipliesTheShares()
    {
        // Squares of keys 1, 4 | 9, 1 | 4, of values 1, 1 | 1, 4 | 9: shares 1/5, 4/5 | 9/10, 1/10 | 1 and 1/2, 1/2 | 1/5, 4/5 | 1.
        using AttentionScores scores = Of([1, 2, 3, 1, 2], [1, 1, 1, 2, 3]);
        var policy = new CurDKV { Sinks = 1, Window = 2 };

        float[] own = ScorerAssert.Scores(policy, scores);

        Assert.Equal([0.1f, 0.4f, 0.18f, 0.08f, 1f], own, (x, y) => Math.Abs(x - y) < 1e-6);
        Assert.Equal([0, 1, 4], (policy with { Ratio = 0.4 }).Plan(scores).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_EqualRows_KeepsEarlierPosition()
    {
        using AttentionScores scores = Of([1, 1, 1, 1, 1], [2, 2, 2, 2, 2]);

        Assert.Equal([0, 1, 2], new CurDKV { Sinks = 0, Ratio = 0.4 }.Plan(scores).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Score_WindowOfZeros_IsZero()
    {
        using AttentionScores scores = Of([0, 0, 1, 1, 1], [1, 1, 1, 1, 1]);

        Assert.Equal([0, 0], ScorerAssert.Scores(new CurDKV { Window = 2 }, scores)[..2]);
    }

    [Fact]
    public void Plan_NormThatIsNoNumber_NamesIt()
    {
        using AttentionScores scores = Of([1, 1, 1, 1, 1], [1, 1, float.NaN, 1, 1]);

        PlanException error = Assert.Throws<PlanException>(() => new CurDKV().Plan(scores));

        Assert.Equal("Layer 0, KV head 0, token 2 has value norms NaN: not a finite number.", error.Message);
    }

    [Fact]
    public void Score_RandomRows_EqualsTheDefinition()
    {
        for (int seed = 0; seed < 20; seed++)
        {
            var policy = new CurDKV { Sinks = seed % 4, Window = 1 + seed };
            using RowScores drawn = RowScores.Random(seed, tokens: 10 + 3 * seed);
            ScorerAssert.EqualDefinition(policy, drawn.For(policy), (layer, head) => ByDefinition(policy, drawn.Rows, layer, head));
        }
    }

    [Fact]
    public void Options_OutOfRange_Throw()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new CurDKV { Sinks = -1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new CurDKV { Window = 0 });
    }

    private static AttentionScores Of(float[] keyNorms, float[] valueNorms) => TestScores.Of(
        1, 1, 1, keyNorms.Length, 0, keyNorms: TestScores.Buffer(keyNorms), valueNorms: TestScores.Buffer(valueNorms));

    // From the rows themselves, not from their norms.
    private static double[] ByDefinition(CurDKV policy, TestRows rows, int layer, int head)
    {
        double[] keys = Squares(RowKind.Keys);
        double[] values = Squares(RowKind.Values);
        return [.. keys.Select((square, j) => square / WindowSum(keys, j) * (values[j] / WindowSum(values, j)))];

        double[] Squares(RowKind kind) =>
            [.. Enumerable.Range(0, rows.Tokens).Select(j => rows.Row(kind, layer, head, j).Sum(x => (double)x * x))];

        double WindowSum(double[] squares, int token) => squares.Skip(token / policy.Window * policy.Window).Take(policy.Window).Sum();
    }
}
