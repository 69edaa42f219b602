using EdgeKV.Models;
using EdgeKV.Numerics;

namespace EdgeKV.Native.Tests;

public sealed class KvMemoryTests
{
    private static readonly KvMemory Small = new(CacheGeometry.Uniform(30, 9, 3, 64, 64));

    [Theory]
    [InlineData(KvCacheType.F32, 512, 46080)]
    [InlineData(KvCacheType.F16, 256, 23040)]
    [InlineData(KvCacheType.Q8_0, 136, 12240)]
    [InlineData(KvCacheType.Q4_0, 72, 6480)]
    public void Bytes_OfRowAndToken_FollowTheType(KvCacheType type, long row, long token)
    {
        Assert.Equal(row, Small.BytesPerRow(0, type));
        Assert.Equal(token, Small.BytesPerToken(type));
    }

    [Fact]
    public void Bytes_HeadSizeNoMultipleOfABlock_CountsWholeBlocks() =>
        Assert.Equal(34 * (3 + 2), new KvMemory(CacheGeometry.Uniform(1, 1, 1, 96, 48)).BytesPerRow(0, KvCacheType.Q8_0));

    [Fact]
    public void Bytes_LayersThatDiffer_CountsEachLayersOwn()
    {
        KvMemory memory = new(new CacheGeometry(new AttentionLayer(0, 4, 1, 64, 32), new AttentionLayer(2, 6, 3, 32, 32)));

        Assert.Equal([192, 128], Enumerable.Range(0, 2).Select(layer => memory.BytesPerRow(layer, KvCacheType.F16)));
        Assert.Equal(192 + 3 * 128, memory.BytesPerToken(KvCacheType.F16));
        Assert.Equal(10 * (192 + 3 * 128), memory.Bytes(KvCacheType.F16, 10));

        // 20 of 40 rows, of 144 bytes on average.
        Assert.Equal(20 * 144, memory.Bytes(KvCacheType.F16, 10, 0.5));
        Assert.Equal(10, memory.TokensThatFit(KvCacheType.F16, 20 * 144, 0.5));
    }

    [Fact]
    public void Bytes_Ratio_TruncatesRowsAsBudgetsDo() =>
        Assert.Equal(CompressionRatio.Keep(90 * 100, 0.8) * 256, Small.Bytes(KvCacheType.F16, 100, 0.8));

    [Theory]
    [InlineData(0)]
    [InlineData(0.5)]
    [InlineData(0.8)]
    [InlineData(0.93)]
    public void TokensThatFit_AnyRatio_IsTheMostThatFits(double ratio)
    {
        const long Memory = 64L << 20;

        int tokens = Small.TokensThatFit(KvCacheType.F16, Memory, ratio);

        Assert.True(Small.Bytes(KvCacheType.F16, tokens, ratio) <= Memory);
        Assert.True(Small.Bytes(KvCacheType.F16, tokens + 1, ratio) > Memory);
    }

    [Fact]
    public void TokensThatFit_NoMemory_AreNone()
    {
        Assert.Equal(0, Small.TokensThatFit(KvCacheType.F16, 0));
        Assert.Equal(0, Small.TokensThatFit(KvCacheType.F16, 255));
    }

    [Fact]
    public void BytesPerRow_UnknownType_Throws() => Assert.Throws<ArgumentOutOfRangeException>(() => Small.BytesPerRow(0, (KvCacheType)9));
}
