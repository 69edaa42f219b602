using System.Runtime.InteropServices;
using EdgeKV.Planning;
using EdgeKV.Policies;
using EdgeKV.Scoring;
using EdgeKV.Tests.Policies;

namespace EdgeKV.Tests.Scoring;

public class AttentionScoresTests
{
    [Fact]
    public void Rows_EachStatistic_ComesFromItsOwnBuffer()
    {
        using var scores = new AttentionScores(
            2, 4, 2, 3, queries: 5, Count(0, 24), Count(100, 24), Count(200, 12), Count(300, 12), learned: Count(-400, 12));

        Assert.Equal([21f, 22f, 23f], scores.Max(1, 3).ToArray());
        Assert.Equal([115f, 116f, 117f], scores.Sum(1, 1).ToArray());
        Assert.Equal([206f, 207f, 208f], scores.KeyNorms(1, 0).ToArray());
        Assert.Equal([309f, 310f, 311f], scores.ValueNorms(1, 1).ToArray());
        Assert.Equal([-391f, -390f, -389f], scores.Learned(1, 1).ToArray());
        float[] mean = new float[3];
        scores.CopyMean(1, 1, mean);
        Assert.Equal([23f, 116 / 5f, 117 / 5f], mean);
        scores.CopyGroupMax(1, 1, mean);
        Assert.Equal([19.5f, 20.5f, 21.5f], mean);
        Assert.Equal(2, scores.GroupSize);
        Assert.Equal(
            ScoreStatistics.Max | ScoreStatistics.Sum | ScoreStatistics.KeyNorms | ScoreStatistics.ValueNorms | ScoreStatistics.Learned,
            scores.Statistics);
    }

    [Fact]
    public void Rows_NotAskedFor_SaySo()
    {
        using var scores = new AttentionScores(1, 1, 1, 2, 0);

        Assert.Equal(ScoreStatistics.None, scores.Statistics);
        Assert.Contains("Max", Assert.Throws<InvalidOperationException>(() => scores.Max(0, 0).Length).Message, StringComparison.Ordinal);
        Assert.Throws<InvalidOperationException>(() => scores.ValueNorms(0, 0).Length);
        Assert.Throws<InvalidOperationException>(() => scores.Learned(0, 0).Length);
        Assert.Throws<InvalidOperationException>(() => scores.CopyGroupMax(0, 0, new float[2]));
    }

    [Fact]
    public void Rows_OutOfRange_Throw()
    {
        using var scores = new AttentionScores(2, 4, 2, 3, 1, Count(0, 24), keyNorms: Count(0, 12));

        Assert.Throws<ArgumentOutOfRangeException>(() => scores.Max(2, 0).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => scores.Max(0, 4).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => scores.Max(-1, 0).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => scores.KeyNorms(0, 2).Length);
    }

    [Fact]
    public void Constructor_SizesThatDoNotFit_Throw()
    {
        Assert.Throws<ArgumentException>(() => new AttentionScores(1, 3, 2, 4, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new AttentionScores(0, 1, 1, 1, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new AttentionScores(1, 1, 1, 0, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new AttentionScores(1, 1, 1, 1, -1));
        Assert.Throws<ArgumentException>(() => new AttentionScores(1, 1, 1, 1, 0, sum: Count(0, 1)));
        Assert.Throws<ArgumentException>(() => new AttentionScores(2, 4, 2, 3, 1, learned: Count(0, 24)));
        ArgumentException error = Assert.Throws<ArgumentException>(() => new AttentionScores(2, 4, 2, 3, 1, Count(0, 23)));
        Assert.Contains("23 elements; [2, 4, 3] needs 24", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Plan_NativeMemory_EqualsThePlanFromAnArray()
    {
        float[] values = TestScores.Random(8, 3 * 4 * 50);
        using var managed = new AttentionScores(3, 4, 2, 50, 1, TestScores.Buffer(values));
        var buffer = new NativeBuffer(values);
        CompressionPlan plan;
        using (var native = new AttentionScores(3, 4, 2, 50, 1, buffer))
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
        var scores = new AttentionScores(1, 1, 1, 2, 1, buffer);

        scores.Dispose();
        scores.Dispose();

        Assert.Equal(1, buffer.Frees);
        Assert.Throws<ObjectDisposedException>(() => scores.Max(0, 0).Length);
    }

    [Fact]
    public void FromMemory_SliceOutside_Throws()
    {
        using ScoreBuffer buffer = Count(0, 4);

        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Slice(-1, 2).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Slice(1L << 40, 1).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Slice(3, 2).Length);
    }

    private static ScoreBuffer Count(int first, int length) =>
        TestScores.Buffer([.. Enumerable.Range(first, length).Select(value => (float)value)]);

    // What a session does with the memory of libedgekv.
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
