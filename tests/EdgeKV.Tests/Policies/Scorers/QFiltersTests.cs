using EdgeKV.Models;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;
using EdgeKV.Tests.Scoring;

namespace EdgeKV.Tests.Policies.Scorers;

public class QFiltersTests
{
    [Fact]
    public void Score_ThreeKeys_IsTheNegativeProductWithTheDirection()
    {
        using RowScores scores = Of([1, 2, -3, 1, 0, -1]);
        var policy = new QFilters { Directions = new QueryDirections(HeadLayout.Uniform(1, 1), new[] { 1f, 2f }), Ratio = 0.3 };

        Assert.Equal([-5, 1, 2], ScorerAssert.Scores(policy, scores.For(policy)));
        Assert.Equal([1, 2], policy.Plan(scores.Scores).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_EqualRows_KeepsEarlierPosition()
    {
        using RowScores scores = Of([1, 2, 1, 2, 1, 2]);
        var policy = new QFilters { Directions = new QueryDirections(HeadLayout.Uniform(1, 1), new[] { 1f, 2f }), Ratio = 0.3 };

        Assert.Equal([0, 1], policy.Plan(scores.For(policy)).Positions(0, 0).ToArray());
    }

    [Fact]
    public void Plan_NoDirections_AsksForThem()
    {
        using RowScores scores = Of([1, 2, 1, 2, 1, 2]);

        ArgumentException error = Assert.Throws<ArgumentException>(() => new QFilters().Plan(scores.Scores));

        Assert.Contains("q-filters needs Directions", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Plan_DirectionsOfAnotherModel_SaysBothSizes()
    {
        using RowScores scores = Of([1, 2, 1, 2, 1, 2]);

        PlanException error = Assert.Throws<PlanException>(() => scores.For(new QFilters { Directions = new QueryDirections(HeadLayout.Uniform(1, 2), new float[6]) }));

        Assert.Equal("The directions of queries are of 1 layers x 2 KV heads, 3 elements each; keys of this model are of 1 layers x 1, 2 in layer 0.", error.Message);
    }

    [Fact]
    public void Score_RandomRows_EqualsTheDefinition()
    {
        for (int seed = 0; seed < 20; seed++)
        {
            using RowScores drawn = RowScores.Random(seed, tokens: 1 + 3 * seed);
            QueryDirections directions = Random(seed);
            var policy = new QFilters { Directions = directions };
            ScorerAssert.EqualDefinition(
                policy,
                drawn.For(policy),
                (layer, head) =>
                [
                    .. Enumerable.Range(0, drawn.Rows.Tokens).Select(
                        j => -drawn.Rows.Row(RowKind.Keys, layer, head, j).Zip(directions.Of(layer, head).ToArray(), (k, f) => (double)k * f).Sum()),
                ]);
        }
    }

    [Fact]
    public void Plan_RandomRows_HasTheProperties() =>
        ScorerAssert.Properties(
            new QFilters { Directions = new QueryDirections(HeadLayout.Uniform(2, 3), Same()) }, (seed, order) => RowScores.Random(seed, 40, order: order));

    [Fact]
    public void Directions_OfTheSameNumbers_AreEqual()
    {
        var one = new QueryDirections(HeadLayout.Uniform(1, 2), new[] { 1f, 2f });

        Assert.Equal(one, new QueryDirections(HeadLayout.Uniform(1, 2), new[] { 1f, 2f }));
        Assert.Equal(new QFilters { Directions = one }.Request, new QFilters { Directions = new QueryDirections(HeadLayout.Uniform(1, 2), new[] { 1f, 2f }) }.Request);
        Assert.NotEqual(one, new QueryDirections(HeadLayout.Uniform(1, 2), new[] { 1f, 3f }));
        Assert.NotEqual(one, new QueryDirections(HeadLayout.Uniform(2, 1), new[] { 1f, 2f }));
    }

    [Fact]
    public void Directions_ThatCannotBe_Throw()
    {
        Assert.Throws<ArgumentException>(() => new QueryDirections(HeadLayout.Uniform(2, 3), new float[7]));
        Assert.Throws<ArgumentException>(() => new QueryDirections(HeadLayout.Uniform(2, 3), Array.Empty<float>()));
        Assert.Throws<ArgumentException>(() => new QueryDirections(HeadLayout.Uniform(1, 1), new[] { float.NaN }));
        Assert.Throws<ArgumentOutOfRangeException>(() => new QueryDirections(HeadLayout.Uniform(0, 1), new float[1]));
        Assert.Throws<ArgumentOutOfRangeException>(() => new QueryDirections(HeadLayout.Uniform(1, 1), new float[1]).Of(0, 1).Length);
    }

    private static RowScores Of(float[] keys) => RowScores.Of(new TestRows(1, 1, 3, keys), heads: 1);

    // One direction for all KV heads: permuted heads have the directions that they had.
    private static float[] Same() => [.. Enumerable.Range(0, 2 * 3 * RowScores.HeadSize).Select(i => MathF.Cos(i % RowScores.HeadSize))];

    private static QueryDirections Random(int seed)
    {
        var random = new System.Random(seed);
        float[] values = new float[2 * 3 * RowScores.HeadSize];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = random.NextSingle() - 0.5f;
        }

        return new QueryDirections(HeadLayout.Uniform(2, 3), values);
    }
}
