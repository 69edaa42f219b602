using System.Buffers;
using System.Numerics.Tensors;
using EdgeKV.Sessions;

namespace EdgeKV.Calibration;

/// <summary>Tokens fed after a context to see what the next token's distribution depends on.</summary>
/// <remarks>Arrays of a vocabulary's length are large objects, so they are rented: hundreds of them for every text would fill the heap.</remarks>
/// <param name="Tokens">At most a batch.</param>
/// <param name="First">The first token whose successor is looked at.</param>
internal sealed record CalibrationProbe(int[] Tokens, int First)
{
    /// <summary>Kinds of probes: how the text goes on, and the text once more.</summary>
    public const int Count = 2;

    /// <summary>Logarithms of probabilities, [tokens looked at, vocabulary], in a rented array that may be longer and that the caller returns; the session is left as it was.</summary>
    public float[] Run(EdgeSession session)
    {
        int vocabulary = session.Model.VocabularySize;
        float[] result = ArrayPool<float>.Shared.Rent((Tokens.Length - First) * vocabulary);
        ForEach(session, (logarithms, i) => logarithms.CopyTo(result.AsSpan(i * vocabulary)));
        return result;
    }

    /// <summary>KL(full || session), nats, mean over tokens; the session is left as it was.</summary>
    /// <param name="session">What is compared.</param>
    /// <param name="full">Of the full cache, from <see cref="Run"/>.</param>
    public double Divergence(EdgeSession session, float[] full)
    {
        double sum = 0;
        int vocabulary = session.Model.VocabularySize;
        float[] rented = ArrayPool<float>.Shared.Rent(vocabulary);
        ForEach(session, (logarithms, i) =>
        {
            ReadOnlySpan<float> expected = full.AsSpan(i * vocabulary, vocabulary);
            Span<float> probabilities = rented.AsSpan(0, vocabulary);
            TensorPrimitives.Exp(expected, probabilities);
            TensorPrimitives.Subtract(expected, logarithms, logarithms);
            sum += Math.Max(0, TensorPrimitives.Dot<float>(probabilities, logarithms));
        });
        ArrayPool<float>.Shared.Return(rented);
        return sum / (Tokens.Length - First);
    }

    private void ForEach(EdgeSession session, SpanAction<float, int> body)
    {
        int start = session.Position;
        _ = session.Decode(Tokens, allLogits: true);
        int vocabulary = session.Model.VocabularySize;
        float[] rented = ArrayPool<float>.Shared.Rent(2 * vocabulary);
        Span<float> row = rented.AsSpan(0, vocabulary);
        Span<float> powers = rented.AsSpan(vocabulary, vocabulary);
        for (int i = 0; i < Tokens.Length - First; i++)
        {
            ReadOnlySpan<float> logits = session.Logits(First + i);
            TensorPrimitives.Subtract(logits, TensorPrimitives.Max(logits), row);
            TensorPrimitives.Exp<float>(row, powers);
            TensorPrimitives.Subtract(row, MathF.Log(TensorPrimitives.Sum<float>(powers)), row);
            body(row, i);
        }

        ArrayPool<float>.Shared.Return(rented);
        session.Rollback(start);
    }
}
