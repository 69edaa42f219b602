using EdgeKV.Cli;

namespace EdgeKV.App.Tests;

public class ByteSizeTests
{
    [Theory]
    [InlineData("64MiB", 64L << 20)]
    [InlineData("0.5GiB", 512L << 20)]
    [InlineData("1000000", 1_000_000)]
    [InlineData("64 mib", 64L << 20)]
    [InlineData("1KB", 1000)]
    [InlineData("1KiB", 1024)]
    [InlineData("2GB", 2_000_000_000)]
    [InlineData("10B", 10)]
    [InlineData("1.5TiB", 3L << 39)]
    [InlineData("0.001KiB", 1)]
    public void TryParse_SizeAsPeopleWriteIt_GivesBytes(string text, long expected)
    {
        Assert.True(ByteSize.TryParse(text, out long bytes));
        Assert.Equal(expected, bytes);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("MiB")]
    [InlineData("-1MiB")]
    [InlineData("0")]
    [InlineData("0.5B")]
    [InlineData("64M")]
    [InlineData("1,5GiB")]
    [InlineData("NaN")]
    [InlineData("1e30")]
    [InlineData("99999999999TiB")]
    [InlineData("64MiB MiB")]
    public void TryParse_NoSize_IsRefused(string? text) => Assert.False(ByteSize.TryParse(text, out _));

    [Theory]
    [InlineData(1, "1 B")]
    [InlineData(1023, "1023 B")]
    [InlineData(23040, "22.5 KiB")]
    [InlineData(1L << 30, "1.00 GiB")]
    [InlineData(184L << 20, "184 MiB")]
    public void Format_Bytes_TakesTheLargestUnitThatFits(long bytes, string expected) => Assert.Equal(expected, ByteSize.Format(bytes));
}
