using EdgeKV.Scoring;

namespace EdgeKV.Tests.Scoring;

public class RotaryEncodingTests
{
    // At positions 0 and 1 a quarter turn gives the identity and a quarter turn: their mean is (x - y, x + y) / 2.
    [Theory]
    [InlineData(true, new[] { 1f, 2f, 3f, 4f, 9f }, new[] { -0.5f, 1.5f, 3f, 4f, 9f })]
    [InlineData(false, new[] { 1f, 2f, 3f, 4f, 9f }, new[] { -1f, 2f, 2f, 4f, 9f })]
    public void Mean_QuarterTurn_TurnsItsPairsHalfWay(bool adjacent, float[] vector, float[] expected)
    {
        RotaryPairs pairs = adjacent ? RotaryPairs.Adjacent : RotaryPairs.HalfSplit;
        new RotaryEncoding([Math.PI / 2, 0], pairs).Mean(0, 2).Apply(vector);

        Assert.Equal(expected, vector, (x, y) => Math.Abs(x - y) < 1e-6);
    }

    [Fact]
    public void Mean_Scale_StretchesTurnedChannelsOnly()
    {
        float[] vector = [1, 2, 3];

        new RotaryEncoding([Math.PI], RotaryPairs.Adjacent, scale: 1.5).Mean(3, 1).Apply(vector);

        Assert.Equal([-1.5f, -3f, 3f], vector, (x, y) => Math.Abs(x - y) < 1e-6);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void ApplyToBothSides_OuterProduct_IsTheOuterProductOfTheTurnedVector(bool adjacent)
    {
        RotaryPairs pairs = adjacent ? RotaryPairs.Adjacent : RotaryPairs.HalfSplit;
        float[] vector = [1, -2, 3, 0.5f, 2];
        float[] matrix = [.. vector.SelectMany(x => vector.Select(y => x * y))];
        RotaryEncoding.Rotation rotation = new RotaryEncoding([0.3, 1.7], pairs, 1.25).Mean(11, 6);

        rotation.Apply(vector);
        rotation.ApplyToBothSides(matrix, 5);

        Assert.Equal(vector.SelectMany(x => vector.Select(y => x * y)), matrix, (x, y) => Math.Abs(x - y) < 1e-5);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Back_EncodedVectors_AreWhatTheyWere(bool adjacent)
    {
        RotaryPairs pairs = adjacent ? RotaryPairs.Adjacent : RotaryPairs.HalfSplit;
        var rotary = new RotaryEncoding([1, 0.3, 1e-4], pairs, 1.25);
        float[] vector = [1, -2, 3, 0.5f, 2, -1, 7];

        RotaryEncoding.Reversal back = rotary.Back(5);
        for (int position = 5; position < 5000; position++)
        {
            float[] turned = [.. vector];
            rotary.Mean(position, 1).Apply(turned);
            back.Apply(turned);
            Assert.Equal(vector, turned, (x, y) => Math.Abs(x - y) < 5e-6);
            back.Next();
        }
    }

    [Fact]
    public void Constructor_NumbersThatCannotBe_Throw()
    {
        Assert.Throws<ArgumentException>(() => new RotaryEncoding([1, double.NaN], RotaryPairs.Adjacent));
        Assert.Throws<ArgumentOutOfRangeException>(() => new RotaryEncoding([1], RotaryPairs.Adjacent, scale: 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => new RotaryEncoding([1], RotaryPairs.Adjacent, scale: double.NaN));
    }
}
