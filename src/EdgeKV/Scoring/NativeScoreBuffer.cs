using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using EdgeKV.Native;
using Microsoft.Win32.SafeHandles;

namespace EdgeKV.Scoring;

/// <summary>Scores where the engine wrote them: no copy is made. Buffers of one score pass share their owner.</summary>
internal sealed unsafe class NativeScoreBuffer(SafeHandle owner, float* data, long length) : ScoreBuffer
{
    // Numbers that are worked on at one time.
    private const int Step = 1 << 20;

    public override long Length => length;

    /// <summary>Both norms and scores are asked for by layer and head, so a slice is checked once for a whole row.</summary>
    public override ReadOnlySpan<float> Slice(long start, int length)
    {
        ObjectDisposedException.ThrowIf(owner.IsClosed, typeof(AttentionScores));
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(start, Length - length);
        return new ReadOnlySpan<float>(data + start, length);
    }

    /// <summary>The arrays of a score pass.</summary>
    public static NativeScoreBuffer? Of(ScoresHandle scores, NativeAggregates aggregate, long length)
    {
        float* data = NativeMethods.edgekv_scores_data(scores, aggregate);
        return data is null ? null : new NativeScoreBuffer(scores, data, length);
    }

    /// <summary>Memory of our own for the engine to write norms or rows into.</summary>
    /// <exception cref="OutOfKvMemoryException">There is not enough.</exception>
    public static NativeScoreBuffer Allocate(long length, out float* data)
    {
        NativeBlock block = NativeBlock.Allocate(checked((nuint)length * sizeof(float)));
        data = (float*)block.DangerousGetHandle();
        return new NativeScoreBuffer(block, data, length);
    }

    /// <summary>Makes of it the aggregate over its own queries and another's, in place.</summary>
    /// <param name="other">As long as this one, of other queries.</param>
    /// <param name="aggregate">What both hold.</param>
    public void Join(NativeScoreBuffer other, AttentionAggregate aggregate)
    {
        for (long start = 0; start < length; start += Step)
        {
            int count = (int)Math.Min(Step, length - start);
            Span<float> own = new(data + start, count);
            if (aggregate == AttentionAggregate.Max)
            {
                TensorPrimitives.Max(own, other.Slice(start, count), own);
            }
            else
            {
                TensorPrimitives.Add(own, other.Slice(start, count), own);
            }
        }
    }

    /// <summary>Makes of it another one times a factor less its own numbers, in place.</summary>
    /// <param name="other">As long as this one.</param>
    /// <param name="factor">What the other one is multiplied by.</param>
    public void SubtractFrom(NativeScoreBuffer other, float factor)
    {
        for (long start = 0; start < length; start += Step)
        {
            int count = (int)Math.Min(Step, length - start);
            Span<float> own = new(data + start, count);
            TensorPrimitives.Negate<float>(own, own);
            TensorPrimitives.MultiplyAdd(other.Slice(start, count), factor, own, own);
        }
    }

    /// <summary>Writes a number to a stretch of the buffer, leaving some elements of it as they are.</summary>
    /// <param name="start">The stretch's first element.</param>
    /// <param name="count">Its elements.</param>
    /// <param name="except">Elements of it that stay, counted from its start, ascending.</param>
    /// <param name="value">The number.</param>
    public void FillExcept(long start, int count, ReadOnlySpan<int> except, float value)
    {
        Span<float> row = new(data + start, count);
        int from = 0;
        foreach (int stays in except)
        {
            row[from..stays].Fill(value);
            from = stays + 1;
        }

        row[from..].Fill(value);
    }

    /// <summary>Copies the first columns of every row, [rows, columns].</summary>
    /// <param name="rowLength">Columns of a row, of which the buffer has a whole number.</param>
    /// <param name="columns">0 to <paramref name="rowLength"/>.</param>
    public float[] FirstColumns(int rowLength, int columns)
    {
        float[] copy = new float[length / rowLength * columns];
        for (long row = 0; row < length / rowLength; row++)
        {
            Slice(row * rowLength, columns).CopyTo(copy.AsSpan((int)row * columns));
        }

        return copy;
    }

    /// <summary>Writes what <see cref="FirstColumns"/> copied.</summary>
    /// <param name="rowLength">Columns of a row.</param>
    /// <param name="columns">As they were copied.</param>
    /// <param name="copy">[rows, columns].</param>
    public void SetFirstColumns(int rowLength, int columns, ReadOnlySpan<float> copy)
    {
        for (int row = 0; row < length / rowLength; row++)
        {
            copy.Slice(row * columns, columns).CopyTo(new Span<float>(data + (long)row * rowLength, columns));
        }
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            owner.Dispose();
        }

        base.Dispose(disposing);
    }

    private sealed class NativeBlock : SafeHandleZeroOrMinusOneIsInvalid
    {
        private NativeBlock(nint memory)
            : base(ownsHandle: true) => SetHandle(memory);

        public static NativeBlock Allocate(nuint bytes)
        {
            try
            {
                return new NativeBlock((nint)NativeMemory.Alloc(bytes));
            }
            catch (OutOfMemoryException e)
            {
                throw new OutOfKvMemoryException($"{bytes} bytes for norms or rows of keys and values are not there.", e);
            }
        }

        protected override bool ReleaseHandle()
        {
            NativeMemory.Free((void*)handle);
            return true;
        }
    }
}
