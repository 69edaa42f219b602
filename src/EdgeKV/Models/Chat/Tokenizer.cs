using System.Buffers;
using System.Runtime.InteropServices;
using System.Text;
using LLama.Native;

namespace EdgeKV.Models.Chat;

/// <summary>Texts to tokens and back, by llama.cpp's tokenizer as LLamaSharp binds it. Safe for many threads at once.</summary>
internal sealed class Tokenizer(SafeLlamaModelHandle model)
{
    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false);

    /// <summary>Tokens in the vocabulary.</summary>
    public int VocabularySize { get; } = model.Vocab.Count;

    /// <summary>Cuts a text into tokens.</summary>
    /// <param name="text">The text.</param>
    /// <param name="addSpecial">Whether to add the tokens that the model puts around every text.</param>
    /// <param name="parseSpecial">Whether text such as &lt;|im_start|&gt; becomes its control token.</param>
    /// <exception cref="EdgeKVException">The model's vocabulary cannot express the text; the message says why.</exception>
    public int[] Tokenize(string text, bool addSpecial = false, bool parseSpecial = false)
    {
        NativeErrors.ClearLogError();
        try
        {
            return MemoryMarshal.Cast<LLamaToken, int>(model.Tokenize(text, addSpecial, parseSpecial, Utf8)).ToArray();
        }
        catch (OverflowException e)
        {
            // llama.cpp says that it failed by the smallest number, of which LLamaSharp makes the length of an array.
            throw new EdgeKVException($"llama.cpp could not tokenize a text of {text.Length} characters: {NativeErrors.LogError() ?? e.Message}", e);
        }
    }

    /// <summary>The text of tokens. Bytes that are not UTF-8 become the replacement character.</summary>
    /// <param name="tokens">The tokens.</param>
    /// <param name="special">Whether control tokens are written as text; otherwise they are left out.</param>
    /// <param name="wholeCharacters">Whether a character that the last token leaves incomplete is left out.</param>
    public string Detokenize(ReadOnlySpan<int> tokens, bool special, bool wholeCharacters = false)
    {
        ArrayBufferWriter<byte> text = new(Math.Max(16, tokens.Length * 4));
        foreach (int token in tokens)
        {
            text.Advance(Write(token, special, text));
        }

        if (!wholeCharacters)
        {
            return Encoding.UTF8.GetString(text.WrittenSpan);
        }

        // A decoder that is not flushed holds back what more bytes may complete.
        char[] characters = new char[Encoding.UTF8.GetMaxCharCount(text.WrittenCount)];
        return new string(characters, 0, Encoding.UTF8.GetDecoder().GetChars(text.WrittenSpan, characters, flush: false));
    }

    /// <summary>Writes a token's bytes into a buffer, which grows as needed, without advancing it.</summary>
    /// <returns>Bytes written.</returns>
    /// <exception cref="EdgeKVException">The token is not in the vocabulary.</exception>
    public int Write(int token, bool special, IBufferWriter<byte> buffer)
    {
        EnsureKnown(token);
        Span<byte> target = buffer.GetSpan(64);
        int length = (int)model.TokenToSpan(token, target, lstrip: 0, special);
        if (length > target.Length)
        {
            target = buffer.GetSpan(length);
            length = (int)model.TokenToSpan(token, target, lstrip: 0, special);
        }

        return length;
    }

    /// <summary>Whether a token ends generation: end of text, end of turn.</summary>
    public bool IsEnd(int token)
    {
        EnsureKnown(token);
        return ((LLamaToken)token).IsEndOfGeneration(model);
    }

    private void EnsureKnown(int token)
    {
        if (token < 0 || token >= VocabularySize)
        {
            throw new EdgeKVException($"Token {token} is not in the vocabulary, which has 0 to {VocabularySize - 1}.");
        }
    }
}
