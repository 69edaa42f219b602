using EdgeKV.Scoring;
using MathNet.Numerics.LinearAlgebra;

namespace EdgeKV.Tests.Scoring;

public class LeverageScoresTests
{
    [Fact]
    public void Write_KeysOfOneChannel_SharesTheSquaresAroundTheMean()
    {
        // Around the mean of 300: -200, -100, 300. Whatever they are multiplied by, 0.01 is next to nothing beside 140,000.
        var rows = new TestRows(1, 1, 5, [9000, 100, 200, 600, -9000]);

        float[] leverage = Written(rows, new KeyLeverage(sketch: 1, first: 1, last: 1));

        Assert.Equal([0, 4 / 14f, 1 / 14f, 9 / 14f, 0], leverage, (x, y) => Math.Abs(x - y) < 1e-4);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Write_RandomKeys_EqualsTheDefinition(bool adjacent)
    {
        RotaryPairs pairs = adjacent ? RotaryPairs.Adjacent : RotaryPairs.HalfSplit;
        for (int seed = 0; seed < 12; seed++)
        {
            // Several tiles of tokens, more than one position to a turn; sketches of fewer, as many and more columns than channels.
            var statistic = new KeyLeverage(2 + seed, seed, first: seed % 3, last: seed % 4);
            TestRows rows = Random(seed, tokens: 20 + 70 * seed, pairs);

            float[] leverage = Written(rows, statistic);

            for (int list = 0; list < rows.Layers * rows.KvHeads; list++)
            {
                (int layer, int head) = (list / rows.KvHeads, list % rows.KvHeads);
                double[] expected = ByDefinition(rows, statistic, layer, head);
                Assert.Equal(
                    expected, leverage[(list * rows.Tokens)..((list + 1) * rows.Tokens)].Select(x => (double)x), (x, y) => Math.Abs(x - y) < 2e-4);
                Assert.Equal(Math.Min(statistic.Sketch, 6), expected.Sum(), 0.05);
            }
        }
    }

    [Fact]
    public void Write_AsManyColumnsAsChannels_IsThatOfTheKeysThemselves()
    {
        // The sketch is then an invertible matrix, which leaves leverage what it is.
        TestRows rows = Random(1, tokens: 300, RotaryPairs.HalfSplit);

        float[] one = Written(rows, new KeyLeverage(6, seed: 1));
        float[] other = Written(rows, new KeyLeverage(6, seed: 2));
        float[] fewer = Written(rows, new KeyLeverage(3, seed: 1));

        Assert.Equal(one, other, (x, y) => Math.Abs(x - y) < 1e-3);
        Assert.NotEqual(one, fewer, (x, y) => Math.Abs(x - y) < 1e-3);
        Assert.Equal(one, Written(rows, new KeyLeverage(6, seed: 1)));
    }

    [Fact]
    public void Write_BiasOnAllKeys_ChangesNothing()
    {
        float[] keys = Drawn(3, 200 * 6);
        float[] shifted = [.. keys.Select((x, i) => x + 50 * MathF.Cos(i % 6))];

        float[] plain = Written(new TestRows(1, 1, 200, keys), new KeyLeverage(4));
        float[] moved = Written(new TestRows(1, 1, 200, shifted), new KeyLeverage(4));

        Assert.Equal(plain, moved, (x, y) => Math.Abs(x - y) < 1e-4);
    }

    [Theory]
    [InlineData(5, 64)]
    [InlineData(40, 64)]
    [InlineData(1, 1)]
    public void Write_FewerKeysThanColumns_IsAShare(int tokens, int sketch)
    {
        var rows = new TestRows(1, 1, tokens, [.. Drawn(4, tokens * 6).Select(x => 100 * x)]);

        float[] leverage = Written(rows, new KeyLeverage(sketch));

        // One is lost to the mean.
        Assert.All(leverage, share => Assert.InRange(share, 0, 1.001f));
        Assert.Equal(Math.Min(tokens - 1, 6), leverage.Sum(), 0.01);
    }

    [Fact]
    public void Write_EqualKeys_HaveNone()
    {
        var rows = new TestRows(1, 1, 30, [.. Enumerable.Repeat(2.5f, 30 * 6)]);

        Assert.All(Written(rows, new KeyLeverage(4)), share => Assert.Equal(0, share, 1e-6));
    }

    [Theory]
    [InlineData(3, 0)]
    [InlineData(0, 3)]
    [InlineData(2, 2)]
    [InlineData(int.MaxValue, int.MaxValue)]
    public void Write_EveryKeyLeftOut_IsZero(int first, int last) =>
        Assert.Equal(new float[3], Written(new TestRows(1, 1, 3, [1, 2, 4]), new KeyLeverage(1, 0, first, last)));

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void Write_KeyThatIsNoNumber_SpoilsItsHeadAlone(float broken)
    {
        var rows = new TestRows(1, 2, 3, [1, 1, broken, 2, 3, 5]);

        float[] leverage = Written(rows, new KeyLeverage(1));

        Assert.All(leverage[..3], share => Assert.True(float.IsNaN(share)));
        Assert.All(leverage[3..], share => Assert.True(float.IsFinite(share)));
    }

    [Fact]
    public void Draw_LayersHeadsAndSeeds_AreNormalNumbersOfTheirOwn()
    {
        const int Sketch = 48;
        var rows = new TestRows(2, 2, 1, new float[2 * 2 * 128]);
        float[][] drawn =
        [
            .. from seed in (int[])[0, 1]
               from list in Enumerable.Range(0, 4)
               select Draw(new LeverageScores(rows, new KeyLeverage(Sketch, seed)), list / 2, list % 2),
        ];

        Assert.Equal(8, drawn.Select(matrix => matrix[0]).Distinct().Count());
        Assert.Equal(drawn[0], Draw(new LeverageScores(rows, new KeyLeverage(Sketch)), 0, 0));

        // 49,152 of them: mean, variance, and the share beyond one and two deviations, each within five of its own standard errors.
        double[] all = [.. drawn.SelectMany(matrix => matrix).Select(x => x * Math.Sqrt(Sketch))];
        double error = 5 / Math.Sqrt(all.Length);
        Assert.Equal(0, all.Average(), error);
        Assert.Equal(1, all.Average(x => x * x), Math.Sqrt(2) * error);
        Assert.Equal(0.3173, all.Average(x => Math.Abs(x) > 1 ? 1 : 0), 0.47 * error);
        Assert.Equal(0.0455, all.Average(x => Math.Abs(x) > 2 ? 1 : 0), 0.21 * error);

        static float[] Draw(LeverageScores leverage, int layer, int head)
        {
            float[] matrix = new float[Sketch * 128];
            leverage.Draw(layer, head, matrix);
            return matrix;
        }
    }

    private static float[] Written(TestRows rows, KeyLeverage statistic)
    {
        LeverageScores leverage = new(rows, statistic);
        int length = rows.KvHeads * rows.Tokens;
        float[] written = new float[rows.Layers * length];
        written.AsSpan().Fill(float.NegativeInfinity);
        for (int layer = rows.Layers - 1; layer >= 0; layer--)
        {
            leverage.Write(layer, written.AsSpan(layer * length, length));
        }

        return written;
    }

    // Two layers and heads; channels of other sizes, with a mean, turned by their position.
    private static TestRows Random(int seed, int tokens, RotaryPairs pairs)
    {
        var rotary = new RotaryEncoding([0.9, 0.04], pairs, 1.1);
        float[] keys = Drawn(seed, 2 * tokens * 2 * 6);
        for (int row = 0; row < keys.Length / 6; row++)
        {
            Span<float> key = keys.AsSpan(row * 6, 6);
            for (int channel = 0; channel < 6; channel++)
            {
                key[channel] = (key[channel] + channel) * (1 + channel);
            }

            rotary.Mean(row / 2 % tokens, 1).Apply(key);
        }

        return new TestRows(2, 2, tokens, keys) { Rotary = rotary };
    }

    private static float[] Drawn(int seed, int length)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, length).Select(_ => 2 * random.NextSingle() - 1)];
    }

    // Whole matrices in double, and the inverse itself.
    private static double[] ByDefinition(TestRows rows, KeyLeverage statistic, int layer, int head)
    {
        int size = rows.HeadSize(RowKind.Keys);
        float[] random = new float[statistic.Sketch * size];
        new LeverageScores(rows, statistic).Draw(layer, head, random);
        Matrix<double> sketch = Matrix<double>.Build.Dense(size, statistic.Sketch, (i, j) => random[j * size + i]);
        int[] counted = [.. Enumerable.Range(0, rows.Tokens).Skip(statistic.First).SkipLast(statistic.Last)];
        Matrix<double> keys = Matrix<double>.Build.DenseOfRows(counted.Select(token => Before(rows.Rotary, token, rows.Row(RowKind.Keys, layer, head, token))));
        Vector<double> mean = keys.ColumnSums() / counted.Length;
        Matrix<double> x = Matrix<double>.Build.DenseOfRowVectors(keys.EnumerateRows().Select(key => key - mean)) * sketch;
        Matrix<double> inverse = (x.TransposeThisAndMultiply(x) + 0.01 * Matrix<double>.Build.DenseIdentity(statistic.Sketch)).Inverse();
        double[] written = new double[rows.Tokens];
        for (int i = 0; i < counted.Length; i++)
        {
            written[counted[i]] = x.Row(i) * inverse * x.Row(i);
        }

        return written;
    }

    private static double[] Before(RotaryEncoding rotary, int position, float[] key)
    {
        double[] turned = [.. key.Select(x => (double)x)];
        int pairs = rotary.Frequencies.Count;
        for (int pair = 0; pair < pairs; pair++)
        {
            (double sin, double cos) = Math.SinCos(-position * rotary.Frequencies[pair]);
            (int one, int other) = rotary.Pairs == RotaryPairs.Adjacent ? (2 * pair, 2 * pair + 1) : (pair, pair + pairs);
            turned[one] = (cos * key[one] - sin * key[other]) / rotary.Scale;
            turned[other] = (sin * key[one] + cos * key[other]) / rotary.Scale;
        }

        return turned;
    }
}
