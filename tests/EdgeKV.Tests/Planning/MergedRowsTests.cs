using EdgeKV.Planning;
using EdgeKV.Scoring;
using EdgeKV.Tests.Policies;
using EdgeKV.Tests.Scoring;

namespace EdgeKV.Tests.Planning;

public class MergedRowsTests
{
    [Fact]
    public void Of_FourRows_TakesTheMostLikeKeyOrNone()
    {
        // Keys: the kept ones lie on the axes; one dropped row leans to the second, one away from both.
        TestRows rows = Of(
            keys: [1, 0, 0, 2, 0.6f, 0.8f, -1, -1],
            values: [1, 0, 3, 0, 1, 0, 9, 9]);

        MergedRows merged = Of(rows, 0, 0, [0, 1]);

        Assert.Equal([2], merged.Dropped);
        Assert.Equal([1], merged.Kept);
        Assert.Equal(0.8f * 1 / (1 + 3), Assert.Single(merged.Weights), 1e-6f);
    }

    [Fact]
    public void Of_EquallyLikeKeys_TakesTheEarlier()
    {
        TestRows rows = Of(keys: [1, 1, 2, 2, 0, 3, 3, 3], values: [1, 0, 1, 0, 1, 0, 1, 0]);

        Assert.Equal([0], Of(rows, 0, 0, [0, 1, 2]).Kept);
    }

    [Theory]
    [InlineData(new int[0])]
    [InlineData(new[] { 0, 1, 2, 3 })]
    public void Of_NothingKeptOrDropped_MergesNothing(int[] kept)
    {
        TestRows rows = Of(keys: [1, 1, 2, 2, 0, 3, 3, 3], values: [1, 0, 1, 0, 1, 0, 1, 0]);

        Assert.Empty(Of(rows, 0, 0, kept).Dropped);
    }

    [Fact]
    public void Of_RowsOfZeros_AreLikeNone()
    {
        // A key of zeros, kept and dropped; a value of zeros adds nothing.
        TestRows rows = Of(keys: [0, 0, 1, 0, 0, 0, 1, 0], values: [1, 1, 0, 0, 1, 1, 0, 0]);

        Assert.Empty(Of(rows, 0, 0, [0, 1]).Dropped);
    }

    [Fact]
    public void Of_RandomRows_EqualsTheDefinition()
    {
        for (int seed = 0; seed < 20; seed++)
        {
            var random = new Random(seed);
            using RowScores drawn = RowScores.Random(seed, tokens: 40);
            int[] kept = [.. Enumerable.Range(0, 40).Where(_ => random.Next(3) == 0)];
            for (int head = 0; head < 3; head++)
            {
                MergedRows merged = Of(drawn.Rows, 1, head, kept);

                var expected = Enumerable.Range(0, 40).Except(kept).Select(position => Pair(drawn.Rows, head, position, kept)).Where(pair => pair.Weight > 0).ToArray();
                Assert.Equal(expected.Select(pair => pair.Position), merged.Dropped);
                Assert.Equal(expected.Select(pair => pair.Kept), merged.Kept);
                Assert.Equal(expected.Select(pair => pair.Weight), merged.Weights.Select(weight => (double)weight), (one, other) => Math.Abs(one - other) < 1e-5);
            }
        }
    }

    private static (int Position, int Kept, double Weight) Pair(TestRows rows, int head, int position, int[] kept)
    {
        (int to, double cosine) = kept.Select(other => (other, Cosine(other))).DefaultIfEmpty((-1, 0)).MaxBy(pair => pair.Item2);
        return cosine > 0 ? (position, to, cosine * Norm(position) / (Norm(position) + Norm(to))) : (position, -1, 0);

        double Cosine(int other)
        {
            float[] one = rows.Row(RowKind.Keys, 1, head, position);
            float[] two = rows.Row(RowKind.Keys, 1, head, other);
            return one.Zip(two, (x, y) => (double)x * y).Sum() / Math.Sqrt(one.Sum(x => (double)x * x) * two.Sum(x => (double)x * x));
        }

        double Norm(int token) => Math.Sqrt(rows.Row(RowKind.Values, 1, head, token).Sum(x => (double)x * x));
    }

    private static TestRows Of(float[] keys, float[] values) => new(1, 1, 4, keys, values);

    private static MergedRows Of(TestRows rows, int layer, int head, int[] kept)
    {
        using var keys = new LayerRows(rows, RowKind.Keys, layer);
        using var values = new LayerRows(rows, RowKind.Values, layer);
        return MergedRows.Of(keys, values, head, rows.Tokens, kept, TestContext.Current.CancellationToken);
    }
}
