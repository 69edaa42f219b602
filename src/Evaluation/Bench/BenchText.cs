using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using EdgeKV.Models;

namespace EdgeKV.Evaluation;

/// <summary>The text that a bench reads.</summary>
/// <param name="Name">A file, or <see cref="GeneratedName"/>.</param>
/// <param name="Tokens">Its tokens, with no chat template around them.</param>
/// <param name="Sha256">Of the text.</param>
public sealed record BenchText(string Name, ReadOnlyMemory<int> Tokens, string Sha256)
{
    /// <summary>What the text is called that no file holds.</summary>
    public const string GeneratedName = "generated";

    private const int Seed = 20260720;
    private const int FirstSentences = 64;

    private static readonly string[] Subjects =
        ["The keeper", "A sailor", "The inspector", "Her brother", "The old clerk", "Nobody in the village", "The harbour master", "A traveller"];

    private static readonly string[] Verbs =
        ["wrote down", "remembered", "carried", "sold", "looked for", "described", "paid for", "counted", "forgot", "repaired"];

    private static readonly string[] Objects =
        ["the brass lamps", "three letters", "a crate of oil", "the tide tables", "the key of the tower", "two maps", "a broken clock", "the winter stores"];

    /// <summary>A given text.</summary>
    /// <param name="model">The model that reads it.</param>
    /// <param name="name">What it is called.</param>
    /// <param name="text">The text.</param>
    public static BenchText Of(EdgeModel model, string name, string text)
    {
        ArgumentNullException.ThrowIfNull(model);
        return new BenchText(name, model.Tokenize(text, addSpecial: true), Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text))));
    }

    /// <summary>Plain sentences with a number here and there, the same on every machine.</summary>
    /// <param name="model">The model that reads them.</param>
    /// <param name="tokens">So many tokens at least.</param>
    public static BenchText Generate(EdgeModel model, int tokens)
    {
        ArgumentNullException.ThrowIfNull(model);
        for (int sentences = FirstSentences; ; sentences *= 2)
        {
            BenchText text = Of(model, GeneratedName, Sentences(sentences));
            if (text.Tokens.Length >= tokens)
            {
                return text;
            }
        }
    }

    internal static string Sentences(int count)
    {
        Random random = new(Seed);
        StringBuilder text = new();
        for (int i = 0; i < count; i++)
        {
            text.Append(CultureInfo.InvariantCulture, $"{Any(Subjects)} {Any(Verbs)} {Any(Objects)} on day {random.Next(1, 366)}. ");
        }

        return text.ToString();

        string Any(string[] words) => words[random.Next(words.Length)];
    }
}
