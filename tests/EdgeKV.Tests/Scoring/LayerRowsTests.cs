using EdgeKV.Scoring;

namespace EdgeKV.Tests.Scoring;

public class LayerRowsTests
{
    [Fact]
    public void Row_OfALayer_IsTheTokensOwn()
    {
        var rows = new TestRows(2, 2, 3, [.. Enumerable.Range(0, 2 * 3 * 2 * 4).Select(value => (float)value)]);
        using var layer = new LayerRows(rows, RowKind.Keys, 1);

        for (int head = 0; head < 2; head++)
        {
            for (int token = 0; token < 3; token++)
            {
                Assert.Equal(rows.Row(RowKind.Keys, 1, head, token), layer.Row(head, token).ToArray());
            }
        }

        Assert.Equal(4, layer.HeadSize);
        Assert.Throws<ArgumentOutOfRangeException>(() => layer.Row(2, 0).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => layer.Row(0, -1).Length);
    }
}
