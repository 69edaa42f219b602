using EdgeKV.Models;
using EdgeKV.Native;
using LLama.Native;

namespace EdgeKV.Scoring;

/// <summary>How a model rotates its keys (RoPE), as the native library says.</summary>
internal static class NativeRotary
{
    /// <summary>The one rotation of all layers.</summary>
    /// <exception cref="UnsupportedModelException">A layer rotates by other frequencies than the first, or not by one position.</exception>
    public static RotaryEncoding OfAllLayers(EdgeModel model, SafeLLamaContextHandle context)
    {
        RotaryEncoding first = OfLayer(model, context, 0);
        for (int layer = 1; layer < model.Geometry.Layers.Count; layer++)
        {
            RotaryEncoding other = OfLayer(model, context, layer);
            if (other.Pairs != first.Pairs || !other.Scale.Equals(first.Scale) || !other.Frequencies.SequenceEqual(first.Frequencies))
            {
                throw new UnsupportedModelException(
                    $"{model.Description} turns the keys of layer {layer} by other frequencies (RoPE) than those of layer 0, and policies that turn queries take one rotation.");
            }
        }

        return first;
    }

    /// <summary>The rotation of one layer.</summary>
    /// <exception cref="UnsupportedModelException">The layer's keys are not rotated by one position, last of all.</exception>
    public static unsafe RotaryEncoding OfLayer(EdgeModel model, SafeLLamaContextHandle context, int layer)
    {
        double[] frequencies = new double[model.Geometry.Layers[layer].HeadSizeK / 2];
        NativeRopePairs pairs;
        nuint count;
        double scale;
        fixed (double* pointer = frequencies)
        {
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_rope(context, layer, out pairs, pointer, (nuint)frequencies.Length, out count, out scale),
                nameof(NativeMethods.edgekv_rope));
        }

        return new RotaryEncoding(
            frequencies[..(int)count], pairs == NativeRopePairs.Adjacent ? RotaryPairs.Adjacent : RotaryPairs.HalfSplit, scale);
    }
}
