using System.Buffers;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using MathNet.Numerics.LinearAlgebra;

namespace EdgeKV.Numerics;

/// <summary>
/// Ridge regression of one layer from a stream of tokens: X^T X and X^T Y in float64, of which no token is kept. The order in which tokens come
/// is part of the result's last bits, threads are not.
/// </summary>
/// <param name="inputs">Elements of x, without the constant that the bias is learned from.</param>
/// <param name="targets">KV heads.</param>
internal sealed class NormalEquations(int inputs, int targets)
{
    // Tokens taken at a time: a row of X^T X stays in the first-level cache while they are added to it.
    private const int Block = 32;

    private readonly int _size = inputs + 1;

    // The upper triangle, row by row.
    private readonly double[] _gram = new double[checked((inputs + 1) * (inputs + 2) / 2)];
    private readonly double[] _moments = new double[targets * (inputs + 1)];

    /// <summary>Adds tokens.</summary>
    /// <param name="x">[tokens, inputs].</param>
    /// <param name="y">[targets, tokens].</param>
    /// <param name="weights">What a token's squared error counts, [tokens]; empty = 1.</param>
    public void Add(ReadOnlySpan<float> x, ReadOnlySpan<float> y, ReadOnlySpan<float> weights = default)
    {
        int tokens = x.Length / inputs;

        // Rented: a block is a large object, and one for every layer and text would fill the heap faster than it is collected.
        double[] rented = ArrayPool<double>.Shared.Rent(Block * _size);
        Span<double> block = rented.AsSpan(0, Block * _size);
        Span<double> roots = stackalloc double[Block];
        for (int start = 0; start < tokens; start += Block)
        {
            int count = Math.Min(Block, tokens - start);
            for (int t = 0; t < count; t++)
            {
                Span<double> row = block.Slice(t * _size, _size);
                TensorPrimitives.ConvertChecked(x.Slice((start + t) * inputs, inputs), row);
                row[^1] = 1;
                roots[t] = 1;
                if (!weights.IsEmpty)
                {
                    roots[t] = Math.Sqrt(weights[start + t]);
                    TensorPrimitives.Multiply(row, roots[t], row);
                }
            }

            int at = 0;
            for (int i = 0; i < _size; i++)
            {
                Span<double> sums = _gram.AsSpan(at, _size - i);
                for (int t = 0; t < count; t++)
                {
                    ReadOnlySpan<double> tail = block.Slice(t * _size + i, _size - i);
                    TensorPrimitives.MultiplyAdd(tail, tail[0], sums, sums);
                }

                at += _size - i;
            }

            for (int target = 0; target < targets; target++)
            {
                Span<double> sums = _moments.AsSpan(target * _size, _size);
                for (int t = 0; t < count; t++)
                {
                    TensorPrimitives.MultiplyAdd(block.Slice(t * _size, _size), roots[t] * y[target * tokens + start + t], sums, sums);
                }
            }
        }

        ArrayPool<double>.Shared.Return(rented);
    }

    /// <summary>Adds what others have summed up, a number of times.</summary>
    public void Add(NormalEquations other, double times)
    {
        TensorPrimitives.MultiplyAdd(other._gram, times, _gram, _gram);
        TensorPrimitives.MultiplyAdd(other._moments, times, _moments, _moments);
    }

    /// <summary>The weights with the least squares plus penalty.</summary>
    /// <param name="ridge">Times the mean of the diagonal of X^T X; on the weights, not on the bias.</param>
    /// <param name="weights">[inputs + 1, targets], the bias last.</param>
    /// <exception cref="CalibrationTextException">The tokens do not determine any.</exception>
    public void Solve(double ridge, Span<float> weights)
    {
        Matrix<double> gram = Matrix<double>.Build.Dense(_size, _size);
        int at = 0;
        double trace = 0;
        for (int i = 0; i < _size; i++)
        {
            trace += i < inputs ? _gram[at] : 0;
            for (int j = i; j < _size; j++)
            {
                gram[i, j] = gram[j, i] = _gram[at++];
            }
        }

        for (int i = 0; i < inputs; i++)
        {
            gram[i, i] += ridge * trace / inputs;
        }

        Matrix<double> solution;
        try
        {
            solution = gram.Cholesky().Solve(Matrix<double>.Build.Dense(_size, targets, _moments));
        }
        catch (ArgumentException e)
        {
            throw new CalibrationTextException("The texts are too few or too much alike to learn from; give more of them.", e);
        }

        for (int i = 0; i < _size; i++)
        {
            for (int target = 0; target < targets; target++)
            {
                weights[i * targets + target] = (float)solution[i, target];
            }
        }
    }

    public void Write(Stream stream)
    {
        stream.Write(MemoryMarshal.AsBytes(_gram.AsSpan()));
        stream.Write(MemoryMarshal.AsBytes(_moments.AsSpan()));
    }

    public void Read(Stream stream)
    {
        stream.ReadExactly(MemoryMarshal.AsBytes(_gram.AsSpan()));
        stream.ReadExactly(MemoryMarshal.AsBytes(_moments.AsSpan()));
    }
}
