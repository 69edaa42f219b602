using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;

namespace EdgeKV.Measurements;

/// <summary>A model and the tokens that both engines are forced along.</summary>
/// <param name="Name">For people.</param>
/// <param name="Model">The GGUF file.</param>
/// <param name="Tokens">The context, then what is decoded over it.</param>
/// <param name="Context">Tokens of the context.</param>
/// <param name="Decoded">Tokens decoded one at a time over it.</param>
/// <param name="Prompt">Tokens of a following prompt.</param>
public sealed record ExactnessCase(string Name, string Model, int[] Tokens, int Context, int Decoded, int Prompt)
{
    /// <summary>Tokens decoded for bit-equality.</summary>
    public const int IdentityTokens = 128;

    /// <summary>The F16 copy of the bundled model over the bundled document.</summary>
    public static ExactnessCase F16 { get; } = OfDocument("F16 copy", F16Model.Path, 700);

    /// <summary>One of the tiny models over random tokens.</summary>
    public static ExactnessCase Of(TinyModel model, int context = 600, int decoded = 64, int prompt = 100) => new(
        model.ToString(),
        TinyModels.PathOf(model),
        TinyModels.RandomTokens(context + Math.Max(IdentityTokens, Math.Max(decoded, prompt)), 4),
        context,
        decoded,
        prompt);

    /// <summary>The context.</summary>
    public ReadOnlySpan<int> ContextTokens => Tokens.AsSpan(0, Context);

    /// <summary>Cells that the full cache needs: whole blocks of 256, as llama.cpp counts.</summary>
    public int Cells => (Tokens.Length + 255) / 256 * 256;

    /// <summary>Both engines' options.</summary>
    public EngineOptions Options(KvCacheType type, int threads = 2) => new(Model) { Type = type, ContextSize = Cells, Threads = threads };

    /// <summary>Tokens after the context.</summary>
    public ReadOnlySpan<int> After(int count) => Tokens.AsSpan(Context, count);

    /// <summary>A model over the document that comes with the samples.</summary>
    public static ExactnessCase OfDocument(string name, string model, int context)
    {
        const int Prompt = 300;
        return new ExactnessCase(name, model, DocumentTokens(model, context + Prompt), context, 64, Prompt);
    }

    /// <summary>The first tokens of the document that comes with the samples, which begins again where it ends.</summary>
    public static int[] DocumentTokens(string model, int count)
    {
        using EdgeModel loaded = EdgeModel.Load(model);
        int[] document = loaded.Tokenize(File.ReadAllText(Places.Document));
        int[] tokens = new int[count];
        for (int i = 0; i < count; i++)
        {
            tokens[i] = document[i % document.Length];
        }

        return tokens;
    }
}
