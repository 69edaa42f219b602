using System.Runtime.InteropServices;
using EdgeKV.Models;
using EdgeKV.Planning;
using EdgeKV.Policies.Scorers;
using EdgeKV.Scoring;
using EdgeKV.Tests.Policies;

namespace EdgeKV.Tests.Scoring;

public class AttentionScoresTests
{
    private static readonly Statistic Max = new TaskAttention(TaskSet.Context, AttentionAggregate.Max);
    private static readonly Statistic Sum = new TaskAttention(TaskSet.Context, AttentionAggregate.Sum);

    [Fact]
    public void Values_EachStatistic_ComesFromItsOwnBuffer()
    {
        var window = new WindowAttention(8);
        using var scores = new AttentionScores(CacheGeometry.Uniform(2, 4, 2, 1, 1), 3,
            [
                new(Max, new StatisticValues(Count(0, 24), 5)),
                new(Sum, new StatisticValues(Count(100, 24), 5)),
                new(window, new StatisticValues(Count(500, 24), 3)),
                new(new KeyNorms(), new StatisticValues(Count(200, 12))),
                new(new ValueNorms(), new StatisticValues(Count(300, 12))),
                new(new Learned(), new StatisticValues(Count(-400, 12))),
            ])
        {
            PassTokens = 8,
        };

        Assert.Equal([21f, 22f, 23f], scores.Values(Max, 1, 3).ToArray());
        Assert.Equal([115f, 116f, 117f], scores.Values(Sum, 1, 1).ToArray());
        Assert.Equal([521f, 522f, 523f], scores.Values(new WindowAttention(8), 1, 3).ToArray());
        Assert.Equal([206f, 207f, 208f], scores.KeyNorms(1, 0).ToArray());
        Assert.Equal([206f, 207f, 208f, 209f, 210f, 211f], scores.Values(new KeyNorms(), 1).ToArray());
        Assert.Equal([309f, 310f, 311f], scores.ValueNorms(1, 1).ToArray());
        Assert.Equal([-391f, -390f, -389f], scores.Learned(1, 1).ToArray());
        float[] mean = new float[3];
        scores.CopyMean(Sum, 1, 1, mean);
        Assert.Equal([23f, 116 / 5f, 117 / 5f], mean);
        scores.CopyMean(window, 0, 0, mean);
        Assert.Equal([500 / 3f, 167f, 502 / 3f], mean);
        scores.CopyGroupMean(Max, 1, 1, mean);
        Assert.Equal([19.5f, 20.5f, 21.5f], mean);
        Assert.Equal(2, scores.GroupSize(1));
        Assert.Equal(5, scores.Queries(Sum));
        Assert.Equal(3, scores.Queries(window));
        Assert.Equal(8, scores.PassTokens);
        Assert.Equal(6, scores.Statistics.Count);
        Assert.True(scores.Has(window));
        Assert.False(scores.Has(new WindowAttention(7)));
    }

    [Fact]
    public void Values_NotAskedFor_SaySo()
    {
        using var scores = new AttentionScores(CacheGeometry.Uniform(1, 1, 1, 1, 1), 2, []);

        Assert.Empty(scores.Statistics);
        Assert.Contains(
            "no max(context)", Assert.Throws<InvalidOperationException>(() => scores.Values(Max, 0, 0).Length).Message, StringComparison.Ordinal);
        Assert.Throws<InvalidOperationException>(() => scores.Queries(Max));
        Assert.Throws<InvalidOperationException>(() => scores.ValueNorms(0, 0).Length);
        Assert.Throws<InvalidOperationException>(() => scores.Learned(0, 0).Length);
        Assert.Throws<InvalidOperationException>(() => scores.CopyGroupMean(Max, 0, 0, new float[2]));
    }

    [Fact]
    public void Values_OutOfRange_Throw()
    {
        using var scores = new AttentionScores(CacheGeometry.Uniform(2, 4, 2, 1, 1), 3, [new(Max, new StatisticValues(Count(0, 24), 1)), new(new KeyNorms(), new StatisticValues(Count(0, 12)))]);

        Assert.Throws<ArgumentOutOfRangeException>(() => scores.Values(Max, 2, 0).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => scores.Values(Max, 0, 4).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => scores.Values(Max, -1, 0).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => scores.Values(Max, 2).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => scores.KeyNorms(0, 2).Length);
    }

    [Fact]
    public void Constructor_SizesThatDoNotFit_Throw()
    {
        Assert.Throws<ArgumentException>(() => new AttentionScores(CacheGeometry.Uniform(1, 3, 2, 1, 1), 4, []));
        Assert.Throws<ArgumentException>(() => new AttentionScores(CacheGeometry.Uniform(0, 1, 1, 1, 1), 1, []));
        Assert.Throws<ArgumentOutOfRangeException>(() => new AttentionScores(CacheGeometry.Uniform(1, 1, 1, 1, 1), 0, []));
        Assert.Throws<ArgumentOutOfRangeException>(() => new AttentionScores(CacheGeometry.Uniform(1, 1, 1, 1, 1), 1, [new(Max, new StatisticValues(Count(0, 1), -1))]));
        Assert.Throws<ArgumentException>(() => new AttentionScores(CacheGeometry.Uniform(1, 1, 1, 1, 1), 1, [new(Sum, new StatisticValues(Count(0, 1)))]));
        Assert.Throws<ArgumentException>(() => new AttentionScores(CacheGeometry.Uniform(1, 1, 1, 1, 1), 1, [new(WindowAttention.All, new StatisticValues(Count(0, 1)))]));
        Assert.Throws<ArgumentException>(() => new AttentionScores(CacheGeometry.Uniform(2, 4, 2, 1, 1), 3, [new(new Learned(), new StatisticValues(Count(0, 24)))]));
        Assert.Throws<ArgumentOutOfRangeException>(() => new AttentionScores(CacheGeometry.Uniform(1, 1, 1, 1, 1), 3, []) { PrefixTokens = -1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => new AttentionScores(CacheGeometry.Uniform(1, 1, 1, 1, 1), 3, []) { PrefixTokens = 4 });
        Assert.Throws<ArgumentException>(() => new AttentionScores(CacheGeometry.Uniform(1, 1, 1, 1, 1), 3, []) { TokenMasks = new TokenMasks([true], [false]) });
        Assert.Throws<ArgumentException>(() => new AttentionScores(CacheGeometry.Uniform(1, 1, 1, 1, 1), 1, [new(new TokenClasses(), new StatisticValues(Count(0, 1)))]));
        ArgumentException error = Assert.Throws<ArgumentException>(
            () => new AttentionScores(CacheGeometry.Uniform(2, 4, 2, 1, 1), 3, [new(Max, new StatisticValues(Count(0, 23), 1))]));
        Assert.Contains("max(context) has 23 elements; 2 layers x 4 heads and 3 tokens need 24", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TokenMasks_Given_AreAmongTheStatistics()
    {
        TokenMasks masks = new([true, false], [false, true]);
        using var scores = new AttentionScores(CacheGeometry.Uniform(1, 1, 1, 1, 1), 2, [new(Max, new StatisticValues(Count(0, 2), 1))]) { TokenMasks = masks };

        Assert.Same(masks, scores.TokenMasks);
        Assert.Equal([Max, new TokenClasses()], scores.Statistics);
        Assert.True(scores.Has(new TokenClasses()));
    }

    [Fact]
    public void Plan_NativeMemory_EqualsThePlanFromAnArray()
    {
        float[] values = TestScores.Random(8, 3 * 4 * 50);
        using AttentionScores managed = TestScores.Of(3, 4, 2, 50, 1, TestScores.Buffer(values));
        var buffer = new NativeBuffer(values);
        CompressionPlan plan;
        using (AttentionScores native = TestScores.Of(3, 4, 2, 50, 1, buffer, taskSet: TaskSet.Context))
        {
            plan = new KVCompose().Plan(native);
            Assert.False(buffer.IsFreed);
        }

        Assert.True(buffer.IsFreed);
        Assert.Equal(new KVCompose().Plan(managed), plan);
    }

    [Fact]
    public void Dispose_Twice_FreesOnceAndRefusesReaders()
    {
        var buffer = new NativeBuffer([1, 2]);
        AttentionScores scores = TestScores.Of(1, 1, 1, 2, 1, buffer, taskSet: TaskSet.Context);

        scores.Dispose();
        scores.Dispose();

        Assert.Equal(1, buffer.Frees);
        Assert.Throws<ObjectDisposedException>(() => scores.Values(Max, 0, 0).Length);
    }

    [Fact]
    public void FromMemory_SliceOutside_Throws()
    {
        using ScoreBuffer buffer = Count(0, 4);

        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Slice(-1, 2).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Slice(1L << 40, 1).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Slice(3, 2).Length);
    }

    [Fact]
    public void Constructor_QueryMoments_HaveTheHeadSize()
    {
        using AttentionScores scores = Moments(new float[2 * 4 * 5], new float[2 * 4 * 25]);

        Assert.Equal(5, scores.Values(new QueryMoments(QueryMoment.Mean), 1, 3).Length);
        Assert.Equal(25, scores.Values(new QueryMoments(QueryMoment.Covariance), 1, 3).Length);
        Assert.Throws<ArgumentException>(() => Moments(new float[2 * 4 * 5 + 1], new float[2 * 4 * 25]));
        ArgumentException error = Assert.Throws<ArgumentException>(() => Moments(new float[2 * 4 * 5], new float[2 * 4 * 24]));
        Assert.Contains("covariance(queries) has 192 elements", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Keep_WhatIsAskedFor_GivesTheRestBack()
    {
        var buffer = new NativeBuffer([1, 2]);
        using AttentionScores scores = TestScores.Of(1, 1, 1, 2, 1, buffer, taskSet: TaskSet.Context);
        scores.Add(new KeyNorms(), new StatisticValues(TestScores.Buffer([3, 4])));

        scores.Keep(new ScoreRequest(new KeyNorms(), new ValueNorms()));

        Assert.Equal([new KeyNorms()], scores.Statistics);
        Assert.Equal([3, 4], scores.KeyNorms(0, 0).ToArray());
        Assert.True(buffer.IsFreed);
        Assert.Throws<ArgumentException>(() => scores.Add(new ValueNorms(), new StatisticValues(TestScores.Buffer([3, 4, 5]))));
    }

    private static AttentionScores Moments(float[] mean, float[] covariance) => new(
        CacheGeometry.Uniform(2, 4, 2, 5, 5),
        3,
        [
            new(new QueryMoments(QueryMoment.Mean), new StatisticValues(ScoreBuffer.FromMemory(mean))),
            new(new QueryMoments(QueryMoment.Covariance), new StatisticValues(ScoreBuffer.FromMemory(covariance))),
        ]);

    private static ScoreBuffer Count(int first, int length) =>
        TestScores.Buffer([.. Enumerable.Range(first, length).Select(value => (float)value)]);

    // What a session does with the memory of libllama.
    private sealed unsafe class NativeBuffer : ScoreBuffer
    {
        private readonly int _length;
        private float* _memory;

        public NativeBuffer(ReadOnlySpan<float> values)
        {
            _length = values.Length;
            _memory = (float*)NativeMemory.Alloc((nuint)_length, sizeof(float));
            values.CopyTo(new Span<float>(_memory, _length));
        }

        public override long Length => _length;

        public int Frees { get; private set; }

        public bool IsFreed => _memory is null;

        public override ReadOnlySpan<float> Slice(long start, int length)
        {
            ObjectDisposedException.ThrowIf(_memory is null, this);
            return new ReadOnlySpan<float>(_memory, _length).Slice((int)start, length);
        }

        protected override void Dispose(bool disposing)
        {
            Frees++;
            NativeMemory.Free(_memory);
            _memory = null;
            base.Dispose(disposing);
        }
    }
}
