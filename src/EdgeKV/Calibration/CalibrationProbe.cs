using System.Numerics.Tensors;

namespace EdgeKV.Calibration;

/// <summary>Tokens fed after a context to see what the next token's distribution depends on.</summary>
/// <param name="Tokens">At most a batch.</param>
/// <param name="First">The first token whose successor is looked at.</param>
internal sealed record CalibrationProbe(int[] Tokens, int First)
{
    /// <summary>Kinds of probes: how the text goes on, and the text once more.</summary>
    public const int Count = 2;

    /// <summary>Logarithms of probabilities, [tokens looked at, vocabulary]; the session is left as it was.</summary>
    public float[] Run(EdgeSession session)
    {
        int vocabulary = session.Model.VocabularySize;
        float[] result = new float[(Tokens.Length - First) * vocabulary];
        ForEach(session, (i, logarithms) => logarithms.CopyTo(result.AsSpan(i * vocabulary)));
        return result;
    }

    /// <summary>KL(full || session), nats, mean over tokens; the session is left as it was.</summary>
    /// <param name="session">What is compared.</param>
    /// <param name="full">Of the full cache, from <see cref="Run"/>.</param>
    public double Divergence(EdgeSession session, float[] full)
    {
        double sum = 0;
        float[] probabilities = new float[session.Model.VocabularySize];
        ForEach(session, (i, logarithms) =>
        {
            ReadOnlySpan<float> expected = full.AsSpan(i * probabilities.Length, probabilities.Length);
            TensorPrimitives.Exp(expected, probabilities);
            TensorPrimitives.Subtract(expected, logarithms, logarithms);
            sum += Math.Max(0, TensorPrimitives.Dot<float>(probabilities, logarithms));
        });
        return sum / (Tokens.Length - First);
    }

    private void ForEach(EdgeSession session, Action<int, float[]> body)
    {
        int start = session.Position;
        _ = session.Decode(Tokens, allLogits: true);
        float[] row = new float[session.Model.VocabularySize];
        float[] powers = new float[row.Length];
        for (int i = 0; i < Tokens.Length - First; i++)
        {
            ReadOnlySpan<float> logits = session.Logits(First + i);
            TensorPrimitives.Subtract(logits, TensorPrimitives.Max(logits), row);
            TensorPrimitives.Exp<float>(row, powers);
            TensorPrimitives.Subtract(row, MathF.Log(TensorPrimitives.Sum<float>(powers)), row);
            body(i, row);
        }

        session.Rollback(start);
    }
}
