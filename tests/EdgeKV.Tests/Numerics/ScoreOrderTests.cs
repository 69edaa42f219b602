using EdgeKV.Numerics;
using EdgeKV.Tests.Policies;


namespace EdgeKV.Tests.Numerics;

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

    [Fact]
    public void KeyAfter_AnyLimit_SplitsScoresAtIt()
    {
        float[] scores = [float.MinValue, -1.5f, -1, -float.Epsilon, -0f, 0, float.Epsilon, 0.1f, 1, float.MaxValue];
        double[] limits = [-1e300, float.MinValue, -1.25, -1, -1e-300, 0, 1e-300, 0.1, 0.1f, 1, 1.0000000001, float.MaxValue, 1e300];
        foreach (double limit in limits)
        {
            uint end = ScoreOrder.KeyAfter(limit);

            Assert.All(scores, score => Assert.Equal(score >= limit, ScoreOrder.Key(score) < end));
            Assert.True(ScoreOrder.FirstKey <= end);
        }

        Assert.Equal(ScoreOrder.FirstKey, ScoreOrder.Key(float.MaxValue));
    }

    [Fact]
    public void CountAndPositions_EveryKey_AgreeWithASort()
    {
        for (int seed = 0; seed < 40; seed++)
        {
            float[] scores = TestScores.Tied(seed, 64, levels: 1 + seed / 4);
            uint[] keys = new uint[64];
            ScoreOrder.Keys(scores, keys);
            foreach (uint key in keys)
            {
                (int before, int equal) = ScoreOrder.Count(keys, key);
                Assert.Equal((keys.Count(k => k < key), keys.Count(k => k == key)), (before, equal));

                for (int ties = 0; ties <= equal; ties++)
                {
                    int[] positions = new int[before + ties];

                    ScoreOrder.Positions(keys, key, positions, ties);

                    Assert.Equal(Enumerable.Range(0, 64).OrderBy(i => keys[i]).ThenBy(i => i).Take(before + ties).Order(), positions);
                }
            }
        }
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.NegativeInfinity)]
    public void FirstNotFinite_BrokenScores_FindsTheFirst(float broken)
    {
        Assert.Equal(1, ScoreOrder.FirstNotFinite([1, broken, broken]));
        Assert.Null(ScoreOrder.FirstNotFinite([1, float.MaxValue]));
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
