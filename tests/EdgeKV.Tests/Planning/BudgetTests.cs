using EdgeKV.Models;
using EdgeKV.Numerics;
using EdgeKV.Planning;

namespace EdgeKV.Tests.Planning;

public class BudgetTests
{
    [Fact]
    public void EqualRows_EachKind_IsOneCountForAllHeads()
    {
        Assert.Equal(9, Budget.FromRatio(0.9).EqualRows(HeadLayout.Uniform(4, 2), 100));
        Assert.Equal(300, Budget.FromRows(300).EqualRows(HeadLayout.Uniform(4, 2), 1000));
        Assert.Equal(100, Budget.FromRows(300).EqualRows(HeadLayout.Uniform(4, 2), 100));

        // 8 heads reserve 24 rows of 100 bytes; 51 rows are left, 6 of each head.
        Assert.Equal(6, Budget.FromBytes(7_599).EqualRows(HeadLayout.Uniform(4, 2), 100, new RowCost(100, 3)));
        Assert.Equal(100, Budget.FromBytes(long.MaxValue).EqualRows(HeadLayout.Uniform(4, 2), 100, new RowCost(100, 3)));
        Assert.Throws<PlanException>(() => Budget.FromBytes(1_000).EqualRows(HeadLayout.Uniform(4, 2), 100, new RowCost(100, 3)));

        // Of a layer: keep(3 * 689) is one row more than 3 * keep(689); 51 rows are 12 of each of four layers.
        Assert.Equal(1033, Budget.FromRatio(0.5).LayerRows(HeadLayout.Uniform(4, 3), 0, 689));
        Assert.Equal(600, Budget.FromRows(300).LayerRows(HeadLayout.Uniform(4, 2), 0, 1000));
        Assert.Equal(200, Budget.FromRows(300).LayerRows(HeadLayout.Uniform(4, 2), 0, 100));
        Assert.Equal(12, Budget.FromBytes(7_599).LayerRows(HeadLayout.Uniform(4, 2), 0, 100, new RowCost(100, 3)));
        Assert.Throws<PlanException>(() => Budget.FromBytes(1_000).EqualRows(HeadLayout.Uniform(4, 2), 100));
    }

    [Theory]
    [InlineData(100, 0.9, 9)] // 1 - 0.9 is just below 0.1 in double; 0.9f would keep 10
    [InlineData(100, 0.8, 19)]
    [InlineData(100, 0.7, 30)]
    [InlineData(100, 0.5, 50)]
    [InlineData(1000, 0.95, 50)]
    [InlineData(20670, 0.8, 4133)]
    [InlineData(20670, 0.9, 2066)]
    [InlineData(7, 0.0, 7)]
    [InlineData(7, 0.9999, 0)]
    [InlineData(0, 0.5, 0)]
    public void Keep_Ratio_TruncatesInDouble(long rows, double ratio, long expected) => Assert.Equal(expected, CompressionRatio.Keep(rows, ratio));

    [Fact]
    public void CompositeRows_Ratio_TruncatesOverAllLayers()
    {
        // 30 layers of 689 tokens, 3 KV heads: 4133 composite rows are 12399 rows, the heads by themselves keep 12401.
        Budget budget = Budget.FromRatio(0.8);

        Assert.Equal(4133, budget.CompositeRows(HeadLayout.Uniform(30, 3), 689).Units);
        Assert.Equal(12401, budget.RaggedRows(HeadLayout.Uniform(30, 3), 689).Units);
    }

    [Fact]
    public void Rows_OnAverage_CountPerLayerAndHead()
    {
        Budget budget = Budget.FromRows(100);

        Assert.Equal(3000, budget.CompositeRows(HeadLayout.Uniform(30, 3), 689).Units);
        Assert.Equal(9000, budget.RaggedRows(HeadLayout.Uniform(30, 3), 689).Units);
        Assert.Equal(30 * 50, budget.CompositeRows(HeadLayout.Uniform(30, 3), 50).Units);
        Assert.Equal(90 * 50, budget.RaggedRows(HeadLayout.Uniform(30, 3), 50).Units);
        Assert.Equal(2_147_483_647L * 30, Budget.FromRows(int.MaxValue).CompositeRows(HeadLayout.Uniform(30, 3), int.MaxValue).Units);
    }

    [Fact]
    public void Bytes_WithReservedRows_LeaveTheRestForKeptOnes()
    {
        var cost = new RowCost(BytesPerRow: 256, ReservedPerHead: 10);

        // 6 heads reserve 60 rows; 100 more fit, and 33 * 3 = 99 of them make composite rows.
        Budget budget = Budget.FromBytes(256 * 160 + 255);

        Assert.Equal(100, budget.RaggedRows(HeadLayout.Uniform(2, 3), 50, cost).Units);
        Assert.Equal(33, budget.CompositeRows(HeadLayout.Uniform(2, 3), 50, cost).Units);
        Assert.Equal(100, budget.CompositeRows(HeadLayout.Uniform(2, 3), 50, cost with { BytesPerRow = 1 }).Units);
        Assert.Equal(0, Budget.FromBytes(256 * 60).RaggedRows(HeadLayout.Uniform(2, 3), 50, cost).Units);
    }

    [Fact]
    public void Bytes_TooFewForTheReservedRows_SaysHowManyTheyTake()
    {
        var cost = new RowCost(BytesPerRow: 256, ReservedPerHead: 10);

        PlanException error = Assert.Throws<PlanException>(() => Budget.FromBytes(256 * 60 - 1).RaggedRows(HeadLayout.Uniform(2, 3), 50, cost).Units);

        Assert.Contains("15360", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Bytes_CostUnknownOrWrong_Throws()
    {
        Assert.Throws<PlanException>(() => Budget.FromBytes(1000).RaggedRows(HeadLayout.Uniform(2, 3), 50).Units);
        Assert.Throws<PlanException>(() => Budget.FromBytes(1000).CompositeRows(HeadLayout.Uniform(2, 3), 50, new RowCost(8, -1)).Units);
    }

    [Theory]
    [InlineData(1.0)]
    [InlineData(-0.01)]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    public void FromRatio_OutOfRange_Throws(double ratio)
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => Budget.FromRatio(ratio));
        Assert.Throws<ArgumentOutOfRangeException>(() => CompressionRatio.Keep(10, ratio));
    }

    [Fact]
    public void FromRowsAndBytes_BelowOne_Throw()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => Budget.FromRows(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => Budget.FromBytes(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => CompressionRatio.Keep(-1, 0.5));
        Assert.Throws<ArgumentOutOfRangeException>(() => Budget.FromRatio(0.5).CompositeRows(HeadLayout.Uniform(0, 1), 1).Units);
    }

    [Fact]
    public void ToString_EachKind_SaysWhich()
    {
        Assert.Equal("ratio 0.8", Budget.FromRatio(0.8).ToString());
        Assert.Equal("300 rows", Budget.FromRows(300).ToString());
        Assert.Equal("4096 bytes", Budget.FromBytes(4096).ToString());
        Assert.Equal(Budget.FromRows(300), Budget.FromRows(300));
        Assert.NotEqual(Budget.FromRows(300), Budget.FromBytes(300));
    }
}
