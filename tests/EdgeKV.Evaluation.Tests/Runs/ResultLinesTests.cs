using System.Text;

namespace EdgeKV.Evaluation.Tests.Runs;

/// <summary>Whole lines only, wherever the disk is full.</summary>
public class ResultLinesTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(7)]
    public void Append_DiskFullWithinTheSecondLine_LeavesTheFirstLine(int room)
    {
        using SmallStream disk = new(Encoding.UTF8.GetByteCount("{\"a\":1}\n") + room);
        using ResultLines lines = new(disk, "results.jsonl");
        lines.Append("{\"a\":1}");

        OutputException e = Assert.Throws<OutputException>(() => lines.Append("{\"a\":2}"));

        Assert.Contains("results.jsonl cannot be written: No space left on device", e.Message, StringComparison.Ordinal);
        Assert.Contains("go on with --resume", e.Message, StringComparison.Ordinal);
        Assert.Equal("{\"a\":1}\n", disk.Text);
    }

    [Fact]
    public void Append_AfterRoomWasMade_GoesOn()
    {
        using SmallStream disk = new(10);
        using ResultLines lines = new(disk, "results.jsonl");
        Assert.Throws<OutputException>(() => lines.Append("more than ten"));
        disk.Room = 100;

        lines.Append("one");
        lines.Append("two");

        Assert.Equal("one\ntwo\n", disk.Text);
    }

    /// <summary>A disk that takes what fits of a write and then refuses, as real ones do.</summary>
    private sealed class SmallStream(int room) : MemoryStream
    {
        public int Room { get; set; } = room;

        public string Text => Encoding.UTF8.GetString(ToArray());

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            int fits = (int)Math.Min(buffer.Length, Room - Position);
            base.Write(buffer[..fits].ToArray(), 0, fits);
            if (fits < buffer.Length)
            {
                throw new IOException("No space left on device");
            }
        }

        public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));
    }
}
