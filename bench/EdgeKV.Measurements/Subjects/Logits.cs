using System.Numerics.Tensors;

namespace EdgeKV.Measurements.Subjects;

/// <summary>Logits of several tokens.</summary>
/// <param name="Values">[Tokens, Vocabulary].</param>
/// <param name="Vocabulary">Size of the vocabulary.</param>
public sealed record Logits(float[] Values, int Vocabulary)
{
    /// <summary>Tokens.</summary>
    public int Tokens => Values.Length / Vocabulary;

    /// <summary>The logits after one token.</summary>
    public ReadOnlySpan<float> this[int token] => Values.AsSpan(token * Vocabulary, Vocabulary);

    /// <summary>The most likely next token after one token.</summary>
    public int Top(int token) => TensorPrimitives.IndexOfMax(this[token]);

    /// <summary>Whether both hold the same bits.</summary>
    public bool BitEquals(Logits other) =>
        Values.Length == other.Values.Length
        && System.Runtime.InteropServices.MemoryMarshal.AsBytes(Values.AsSpan())
            .SequenceEqual(System.Runtime.InteropServices.MemoryMarshal.AsBytes(other.Values.AsSpan()));

    /// <summary>The tokens of both, these first.</summary>
    public Logits Then(Logits other) => new([.. Values, .. other.Values], Vocabulary);
}
