using EdgeKV.Scoring;

namespace EdgeKV.Tests.Scoring;

public class CacheRowsTests
{
    private static readonly float[] Keys = [.. Enumerable.Range(0, 2 * 3 * 2 * 4).Select(value => (float)value)];
    private static readonly float[] Values = [.. Enumerable.Range(100, 2 * 3 * 2 * 5).Select(value => (float)value)];

    [Fact]
    public void CopyRows_EachKind_ReadsTheLayerThatIsAskedFor()
    {
        using AttentionScores scores = Of(new TestRows(2, 2, 3, Keys, Values));
        float[] keys = new float[24];
        float[] values = new float[30];

        scores.CopyRows(RowKind.Keys, 1, keys);
        scores.CopyRows(RowKind.Values, 0, values);

        Assert.Equal(Keys[24..], keys);
        Assert.Equal(Values[..30], values);
        Assert.Equal(4, scores.HeadSize(RowKind.Keys));
        Assert.Equal(5, scores.HeadSize(RowKind.Values));
        Assert.Equal([new CacheRows(RowKind.Keys), new CacheRows(RowKind.Values)], scores.Statistics);
    }

    [Fact]
    public void LayerRows_Row_IsTheTokensOwn()
    {
        var rows = new TestRows(2, 2, 3, Keys);
        using AttentionScores scores = Of(rows);
        using var layer = new LayerRows(scores, RowKind.Keys, 1);

        for (int head = 0; head < 2; head++)
        {
            for (int token = 0; token < 3; token++)
            {
                Assert.Equal(rows.Row(RowKind.Keys, 1, head, token), layer.Row(head, token).ToArray());
            }
        }

        Assert.Throws<ArgumentOutOfRangeException>(() => layer.Row(2, 0).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => layer.Row(0, -1).Length);
    }

    [Fact]
    public void CopyRows_OneKindOnly_TheOtherWasNotAskedFor()
    {
        using AttentionScores scores = Of(new TestRows(2, 2, 3, null, Values));

        Assert.True(scores.Has(new CacheRows(RowKind.Values)));
        Assert.False(scores.Has(new CacheRows(RowKind.Keys)));
        Assert.Contains(
            "no keys", Assert.Throws<InvalidOperationException>(() => scores.HeadSize(RowKind.Keys)).Message, StringComparison.Ordinal);
        Assert.Throws<InvalidOperationException>(() => scores.CopyRows(RowKind.Keys, 0, new float[24]));
    }

    [Fact]
    public void CopyRows_WrongLayerOrLength_Throws()
    {
        using AttentionScores scores = Of(new TestRows(2, 2, 3, Keys));

        Assert.Throws<ArgumentOutOfRangeException>(() => scores.CopyRows(RowKind.Keys, 2, new float[24]));
        Assert.Throws<ArgumentOutOfRangeException>(() => scores.CopyRows(RowKind.Keys, -1, new float[24]));
        Assert.Throws<ArgumentException>(() => scores.CopyRows(RowKind.Keys, 0, new float[25]));
    }

    [Fact]
    public void CopyRows_Disposed_Throws()
    {
        AttentionScores scores = Of(new TestRows(2, 2, 3, Keys));
        scores.Dispose();

        Assert.Throws<ObjectDisposedException>(() => scores.CopyRows(RowKind.Keys, 0, new float[24]));
    }

    [Fact]
    public void Constructor_RowsThatDoNotFit_Throw()
    {
        Assert.Throws<ArgumentException>(() => Of(new TestRows(1, 2, 6, Keys)));
        Assert.Throws<ArgumentException>(() => Of(new TestRows(2, 3, 2, Keys)));
        Assert.Throws<ArgumentException>(
            () => Of(new TestRows(2, 2, 3, Keys) { Rotary = new RotaryEncoding([1, 1, 1], RotaryPairs.Adjacent) }));
        Assert.Throws<ArgumentException>(() => new AttentionScores(
            2, 2, 2, 3, [new(new CacheRows(RowKind.Keys), new StatisticValues(ScoreBuffer.FromMemory(Keys)))]));
    }

    [Fact]
    public void Constructor_QueryMoments_HaveAnyHeadSizeButSquareCovariances()
    {
        using AttentionScores scores = Moments(new float[2 * 4 * 5], new float[2 * 4 * 25]);

        Assert.Equal(5, scores.Values(new QueryMoments(QueryMoment.Mean), 1, 3).Length);
        Assert.Equal(25, scores.Values(new QueryMoments(QueryMoment.Covariance), 1, 3).Length);
        Assert.Throws<ArgumentException>(() => Moments(new float[2 * 4 * 5 + 1], new float[2 * 4 * 25]));
        ArgumentException error = Assert.Throws<ArgumentException>(() => Moments(new float[2 * 4 * 5], new float[2 * 4 * 24]));
        Assert.Contains("covariance(queries) has 192 elements", error.Message, StringComparison.Ordinal);
    }

    private static AttentionScores Of(TestRows rows) => new(2, 4, 2, 3, [], rows);

    private static AttentionScores Moments(float[] mean, float[] covariance) => new(
        2,
        4,
        2,
        3,
        [
            new(new QueryMoments(QueryMoment.Mean), new StatisticValues(ScoreBuffer.FromMemory(mean))),
            new(new QueryMoments(QueryMoment.Covariance), new StatisticValues(ScoreBuffer.FromMemory(covariance))),
        ]);
}
