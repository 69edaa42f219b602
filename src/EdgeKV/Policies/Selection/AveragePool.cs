using System.Numerics.Tensors;

namespace EdgeKV.Policies.Selection;

/// <summary>Smoothing along the positions.</summary>
internal static class AveragePool
{
    /// <summary>Writes for every position the sum over its neighbours, itself included, divided by the kernel; beyond the ends are zeros.</summary>
    /// <param name="source">Any values.</param>
    /// <param name="kernel">Neighbours, odd; always the divisor.</param>
    /// <param name="destination">Takes as many values as there are in <paramref name="source"/>, which it must not overlap.</param>
    public static void Smooth(ReadOnlySpan<float> source, int kernel, Span<float> destination)
    {
        destination = destination[..source.Length];
        destination.Clear();
        int half = kernel / 2;
        for (int offset = Math.Max(-half, 1 - source.Length); offset <= Math.Min(half, source.Length - 1); offset++)
        {
            int count = source.Length - Math.Abs(offset);
            Span<float> reached = destination.Slice(Math.Max(0, -offset), count);
            TensorPrimitives.Add(reached, source.Slice(Math.Max(0, offset), count), reached);
        }

        TensorPrimitives.Divide(destination, kernel, destination);
    }
}
