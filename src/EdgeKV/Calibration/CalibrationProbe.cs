using System.Numerics.Tensors;

namespace EdgeKV.Calibration;

/// <summary>Tokens fed after a context to see what the next token's distribution depends on.</summary>
/// <param name="Tokens">At most a batch.</param>
/// <param name="First">The first token whose successor is looked at.</param>
internal sealed record CalibrationProbe(int[] Tokens, int First)
{
    /// <summary>Kinds of probes: how the text goes on, and the text once more.</summary>
    public const int Count = 2;

    /// <summary>Logarithms of probabilities, [tokens looked at][vocabulary]; the session is left as it was.</summary>
    public float[][] Run(EdgeSession session)
    {
        int start = session.Position;
        _ = session.Decode(Tokens, allLogits: true);
        float[][] result = new float[Tokens.Length - First][];
        for (int i = 0; i < result.Length; i++)
        {
            ReadOnlySpan<float> logits = session.Logits(First + i);
            float[] row = result[i] = new float[logits.Length];
            TensorPrimitives.Subtract(logits, TensorPrimitives.Max(logits), row);
            float[] powers = new float[row.Length];
            TensorPrimitives.Exp<float>(row, powers);
            TensorPrimitives.Subtract(row, MathF.Log(TensorPrimitives.Sum<float>(powers)), row);
        }

        session.Rollback(start);
        return result;
    }

    /// <summary>KL(full || compact), nats, mean over tokens.</summary>
    public static double Divergence(float[][] full, float[][] compact)
    {
        double sum = 0;
        float[] probabilities = new float[full[0].Length];
        float[] differences = new float[full[0].Length];
        for (int i = 0; i < full.Length; i++)
        {
            TensorPrimitives.Exp<float>(full[i], probabilities);
            TensorPrimitives.Subtract<float>(full[i], compact[i], differences);
            sum += Math.Max(0, TensorPrimitives.Dot<float>(probabilities, differences));
        }

        return sum / full.Length;
    }
}
