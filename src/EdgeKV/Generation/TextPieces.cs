using System.Buffers;
using System.Text;
using EdgeKV.Models.Chat;

namespace EdgeKV.Generation;

/// <summary>Makes text of tokens one after another: pieces of whole characters, as a token may end within one. What no token completes is no part of the text.</summary>
/// <param name="tokenizer">The model's tokenizer.</param>
/// <param name="special">Whether control tokens are written as text; otherwise they are left out.</param>
internal sealed class TextPieces(Tokenizer tokenizer, bool special)
{
    private readonly Decoder _decoder = Encoding.UTF8.GetDecoder();
    private readonly ArrayBufferWriter<byte> _bytes = new(256);
    private char[] _characters = new char[256];

    /// <summary>The characters that a token completes; empty when it ends within its first one.</summary>
    public string Next(int token)
    {
        _bytes.ResetWrittenCount();
        _bytes.Advance(tokenizer.Write(token, special, _bytes));
        int most = _decoder.GetCharCount(_bytes.WrittenSpan, flush: false);
        if (most > _characters.Length)
        {
            _characters = new char[most];
        }

        int count = _decoder.GetChars(_bytes.WrittenSpan, _characters, flush: false);
        return count == 0 ? string.Empty : new string(_characters, 0, count);
    }
}
