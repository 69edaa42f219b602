using System.Numerics.Tensors;

namespace EdgeKV.Numerics;

/// <summary>Natural logarithms of attention weights, ln(weight + 1e-7): finite for a weight that float32 rounded to zero.</summary>
internal static class AttentionLogarithm
{
    /// <summary>What is added to a weight.</summary>
    public const float Epsilon = 1e-7f;

    /// <summary>ln(s + 1e-7) in place of s.</summary>
    public static void Of(Span<float> weights)
    {
        TensorPrimitives.Add(weights, Epsilon, weights);
        TensorPrimitives.Log<float>(weights, weights);
    }

    /// <summary>The weight that has a logarithm, or the largest number there is.</summary>
    public static double Weight(double logarithm) => Math.Min(Math.Exp(logarithm), double.MaxValue) - Epsilon;
}
