using EdgeKV.Policies.Selection;

namespace EdgeKV.Tests.Policies.Selection;

public class ScoreOrderTests
{
    [Fact]
    public void Key_AnyFiniteScores_OrdersAndComesBack()
    {
        float[] ascending = [float.MinValue, -1.5f, -1, -float.Epsilon, 0, float.Epsilon, 1e-38f, 0.1f, 0.25f, 1, float.MaxValue];

        uint[] keys = [.. ascending.Select(ScoreOrder.Key)];

        Assert.Equal(keys.OrderDescending(), keys);
        Assert.Equal(keys.Length, keys.Distinct().Count());
        Assert.Equal(ascending, keys.Select(ScoreOrder.Score));
        Assert.Equal(ScoreOrder.Key(0f), ScoreOrder.Key(-0f));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(17)]
    [InlineData(5000)]
    public void SortKeys_RandomBits_SortsFromHighToLow(int length)
    {
        float[] scores = AnyFloats(length, seed: length);
        uint[] sorted = new uint[length];

        ScoreOrder.SortKeys(scores, sorted, new uint[length], new int[ScoreOrder.HistogramLength]);

        Assert.Equal(scores.OrderDescending(), sorted.Select(ScoreOrder.Score));
    }

    [Fact]
    public void TopPositions_EveryCount_KeepsTheHighestEarlierFirst()
    {
        int[] histogram = new int[ScoreOrder.HistogramLength];
        uint[] spare = new uint[64];
        for (int seed = 0; seed < 40; seed++)
        {
            float[] scores = seed % 2 == 0 ? AnyFloats(64, seed) : TestScores.Tied(seed, 64, levels: 1 + seed / 4);
            for (int count = 0; count <= scores.Length; count++)
            {
                int[] positions = new int[count];

                ScoreOrder.TopPositions(scores, positions, spare, histogram);

                int[] expected = [.. Enumerable.Range(0, 64).OrderByDescending(i => scores[i]).ThenBy(i => i).Take(count).Order()];
                Assert.Equal(expected, positions);
            }
        }
    }

    private static float[] AnyFloats(int length, int seed)
    {
        var random = new Random(seed);
        float[] values = new float[length];
        for (int i = 0; i < length; i++)
        {
            do
            {
                values[i] = BitConverter.Int32BitsToSingle((int)random.NextInt64(1L << 32));
            }
            while (!float.IsFinite(values[i]));
        }

        return values;
    }
}
