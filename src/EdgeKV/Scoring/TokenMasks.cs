namespace EdgeKV.Scoring;

/// <summary>Which tokens of a context are special ones and which are punctuation: <c>EdgeModel.MasksOf</c> says so by a model's tokenizer. Immutable; compares by value.</summary>
public sealed class TokenMasks : IEquatable<TokenMasks>
{
    private readonly bool[] _special;
    private readonly bool[] _punctuation;

    /// <summary>Copies the masks.</summary>
    /// <param name="special">For every token of the context whether it is a special one, such as a turn's start. A token may be both.</param>
    /// <param name="punctuation">For every token of the context whether it is punctuation.</param>
    /// <exception cref="ArgumentException">The masks are not of equally many tokens.</exception>
    public TokenMasks(ReadOnlySpan<bool> special, ReadOnlySpan<bool> punctuation)
    {
        if (special.Length != punctuation.Length)
        {
            throw new ArgumentException(
                $"Both masks are of one context, but one has {special.Length} tokens and the other {punctuation.Length}.", nameof(punctuation));
        }

        _special = special.ToArray();
        _punctuation = punctuation.ToArray();
    }

    /// <summary>Tokens of the context.</summary>
    public int Tokens => _special.Length;

    /// <summary>Whether each token is a special one, [tokens].</summary>
    public ReadOnlySpan<bool> Special => _special;

    /// <summary>Whether each token is punctuation, [tokens].</summary>
    public ReadOnlySpan<bool> Punctuation => _punctuation;

    /// <inheritdoc/>
    public bool Equals(TokenMasks? other) =>
        other is not null && Special.SequenceEqual(other.Special) && Punctuation.SequenceEqual(other.Punctuation);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as TokenMasks);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        HashCode hash = default;
        for (int token = 0; token < Tokens; token++)
        {
            hash.Add(_special[token]);
            hash.Add(_punctuation[token]);
        }

        return hash.ToHashCode();
    }
}
