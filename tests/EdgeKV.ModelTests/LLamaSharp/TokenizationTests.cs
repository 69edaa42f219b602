using System.Text;
using System.Text.RegularExpressions;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using EdgeKV.Models.Chat;
using LLama;
using LLama.Abstractions;
using LLama.Common;

namespace EdgeKV.ModelTests.LLamaSharp;

/// <summary>The bundled model's vocabulary with every pre-tokenizer that llama.cpp has: the tokens of stock, and texts of any length.</summary>
public sealed partial class TokenizationTests
{
    private static readonly string Source = Path.Combine(Places.Checkout, "artifacts", "build", "llama.cpp-pristine", "src", "llama-vocab.cpp");

    // What the patterns of pre-tokenizers tell apart.
    private static readonly string[] Pieces =
    [
        "a", "b", "Z", "Qs", "word", "It", "'", "'s", "'RE", "'ll", " ", " ", "  ", "\n", "\n\n", "\r\n", "\t", "0", "1", "234567", "-", "/", "(x)", "|", ".", ",", "!",
        "?", "$", "+", "^", "`", "_", "\\", "[", "]", "{", "}", "~", "é", "É", "µ", "中文", "あ", "ア", "가", "ㄱ", "ㄅ", "…", "。", "，", "　", "Ａ", "１", "٣", "क्", "\u0301",
        "\u00a0", "\u0085", "\u2003", "€", "😀", "IMGIMGABZ", "<sentinel:1>",
    ];

    private static readonly string[] Units = ["-", "a", "A", " ", "\n", "1", "中", "😀", "\u0301", "'s", "aA ", "$ \r\n"];

    // Their tokens stand for characters where those of the bundled vocabulary stand for bytes.
    private static readonly string[] OfCharacters = ["granite-embed-multi-311m", "sarvam-moe", "whitespace"];

    [Fact]
    public void Tokenize_EveryPreTokenizer_GivesTheTokensOfStock()
    {
        IReadOnlyList<string> names = PreTokenizers();
        Random random = new(31);
        using StockRunner stock = new();
        foreach (string name in names)
        {
            string text = string.Concat(Enumerable.Range(0, 6000).Select(_ => Pieces[random.Next(Pieces.Length)]));
            if (name == "whitespace")
            {
                text = Blanks().Replace(text, " "); // of several stock's process dies
            }

            using LLamaWeights weights = Load(name);
            int[] tokens = new Tokenizer(weights.NativeHandle).Tokenize(text);
            Assert.True(stock.Tokenize(Places.Model, name, text).AsSpan().SequenceEqual(tokens), $"{name} gives other tokens.");
        }
    }

    [Fact]
    public void Tokenize_LongRuns_ComeBackFromTheirTokens()
    {
        foreach (string name in PreTokenizers())
        {
            using LLamaWeights weights = Load(name);
            Tokenizer tokenizer = new(weights.NativeHandle);
            foreach (string unit in Units)
            {
                string text = string.Concat(Enumerable.Repeat(unit, 30_000 / unit.Length));
                int[] tokens = tokenizer.Tokenize(text);
                Assert.True(OfCharacters.Contains(name) || tokenizer.Detokenize(tokens, special: true) == text, $"{name}: a run of '{unit}'");
            }
        }
    }

    [Theory]
    [InlineData("gpt-4o", "-")]
    [InlineData("deepseek-v3", "中")]
    [InlineData("superbpe", "7")]
    [InlineData("poro-chat", "a")]
    public void Tokenize_VeryLongRun_ByEdgeModelAndByLLamaSharp(string name, string unit)
    {
        string text = string.Concat(Enumerable.Repeat(unit, 400_000));
        using LLamaWeights weights = Load(name, vocabularyOnly: false);
        EdgeModel model = EdgeModel.From(weights);

        int[] tokens = model.Tokenize(text);

        Assert.True(model.Detokenize(tokens) == text);
        Assert.True(weights.Tokenize(text, add_bos: false, special: false, Encoding.UTF8).Select(token => (int)token).SequenceEqual(tokens));
    }

    /// <summary>A tokenizer of SentencePiece writes characters that it has no token for as bytes, and this vocabulary has no tokens of bytes.</summary>
    [Fact]
    public void Tokenize_VocabularyWithoutWhatTheTextNeeds_IsAnErrorThatSaysSo()
    {
        using LLamaWeights weights = Load("default", tokenizer: "llama");
        Tokenizer tokenizer = new(weights.NativeHandle);

        EdgeKVException failure = Assert.Throws<EdgeKVException>(() => tokenizer.Tokenize("漢"));

        Assert.Contains("could not tokenize", failure.Message, StringComparison.Ordinal);
    }

    // One name of each of its pre-tokenizers.
    private static List<string> PreTokenizers()
    {
        Assert.SkipUnless(File.Exists(Source), $"{Source} is missing: ./build.sh native writes it.");
        string source = File.ReadAllText(Source);
        List<string> names = [.. Choices().Matches(source).DistinctBy(m => m.Groups["kind"].Value).Select(m => m.Groups["name"].Value)];
        Assert.True(names.Count > 40, $"There are {names.Count} pre-tokenizers only.");
        return names;
    }

    private static LLamaWeights Load(string preTokenizer, string? tokenizer = null, bool vocabularyOnly = true)
    {
        EdgeKVRuntime.Use();
        ModelParams parameters = new(Places.Model) { VocabOnly = vocabularyOnly, GpuLayerCount = 0 };
        parameters.MetadataOverrides.Add(new MetadataOverride("tokenizer.ggml.pre", preTokenizer));
        if (tokenizer is not null)
        {
            parameters.MetadataOverrides.Add(new MetadataOverride("tokenizer.ggml.model", tokenizer));
        }

        return LLamaWeights.LoadFromFile(parameters);
    }

    [GeneratedRegex("tokenizer_pre == \"(?<name>[^\"]+)\"\\s*\\)\\s*\\{\\s*pre_type = LLAMA_VOCAB_PRE_TYPE_(?<kind>\\w+);")]
    private static partial Regex Choices();

    [GeneratedRegex("\\s+")]
    private static partial Regex Blanks();
}
