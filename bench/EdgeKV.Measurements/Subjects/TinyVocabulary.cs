using System.Text;

namespace EdgeKV.Measurements.Subjects;

/// <summary>A byte-level vocabulary that every text can be written in: 256 bytes, a few merges, ChatML's control tokens.</summary>
internal static class TinyVocabulary
{
    private const int Normal = 1;
    private const int Control = 3;

    private static readonly string[] Merges = ["Ġ t", "Ġ a", "h e", "i n", "Ġt he"];
    private static readonly string[] Controls = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

    private static readonly string[] Tokens = [.. ByteCharacters(), .. Merges.Select(m => m.Replace(" ", "", StringComparison.Ordinal)), .. Controls];

    /// <summary>Tokens in all.</summary>
    public static int Size => Tokens.Length;

    public static void AddTo(GgufWriter file)
    {
        file.Add("tokenizer.ggml.model", "gpt2");
        file.Add("tokenizer.ggml.pre", "default");
        file.Add("tokenizer.ggml.tokens", Tokens);
        file.Add("tokenizer.ggml.token_type", [.. Tokens.Select((_, i) => i < Size - Controls.Length ? Normal : Control)]);
        file.Add("tokenizer.ggml.merges", Merges);
        file.Add("tokenizer.ggml.bos_token_id", (uint)Array.IndexOf(Tokens, "<|im_start|>"));
        file.Add("tokenizer.ggml.eos_token_id", (uint)Array.IndexOf(Tokens, "<|im_end|>"));
        file.Add("tokenizer.ggml.unknown_token_id", (uint)Array.IndexOf(Tokens, "<|endoftext|>"));
        file.Add("tokenizer.ggml.add_bos_token", false);
        file.Add(
            "tokenizer.chat_template",
            "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
            + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}");
    }

    // GPT-2's way to write every byte as a printable character: the printable ones as themselves, the others from U+0100 on.
    private static IEnumerable<string> ByteCharacters()
    {
        int next = 256;
        for (int b = 0; b < 256; b++)
        {
            bool printable = b is >= '!' and <= '~' or >= 0xa1 and <= 0xac or >= 0xae and <= 0xff;
            yield return new Rune(printable ? b : next++).ToString();
        }
    }
}
