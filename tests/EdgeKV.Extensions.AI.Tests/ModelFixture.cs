using System.Security.Cryptography;
using System.Text;
using EdgeKV.Extensions.AI.Tests;
using EdgeKV.Generation;
using EdgeKV.Measurements.Subjects;
using EdgeKV.Models;
using Microsoft.Extensions.AI;

[assembly: AssemblyFixture(typeof(ModelFixture))]

namespace EdgeKV.Extensions.AI.Tests;

/// <summary>The models of the tests, each loaded once, and ways to ask them.</summary>
public sealed class ModelFixture : IDisposable
{
    // Its text is that of a call's beginning in the models with templates of their own, so that random weights come to it.
    private const int EndOfText = 261;

    private readonly Lazy<EdgeModel> _bundled = new(() => EdgeModel.Load(Places.Model));
    private readonly Lazy<EdgeModel> _tiny = new(() => EdgeModel.Load(TinyModels.PathOf(TinyModel.LlamaGrouped)));
    private readonly Lazy<EdgeModel> _tools = new(() => WithTemplate(Templates.Tools));
    private readonly Lazy<EdgeModel> _thinking = new(() => WithTemplate(Templates.Thinking));

    /// <summary>The bundled model, which has learned scores.</summary>
    public EdgeModel Bundled => _bundled.Value;

    /// <summary>A tiny model with ChatML's template.</summary>
    public EdgeModel Tiny => _tiny.Value;

    /// <summary>A tiny model whose template knows tools.</summary>
    public EdgeModel Tools => _tools.Value;

    /// <summary>A tiny model whose template knows thoughts.</summary>
    public EdgeModel Thinking => _thinking.Value;

    /// <summary>One thread: on a machine that does other work too, threads that wait for each other would take minutes.</summary>
    public static EdgeChatClientOptions Options { get; } = new() { Threads = 1, DefaultMaxOutputTokens = 8 };

    /// <summary>Some hundred tokens of the document that comes with the samples.</summary>
    public static string Document { get; } = File.ReadAllText(Places.Document)[..1600];

    /// <summary>Options of a call whose answer is scripted.</summary>
    internal static ChatOptions Says(Scripted script, int maxTokens = 200) =>
        new() { RawRepresentationFactory = _ => new GenerationOptions { Sampling = script, MaxTokens = maxTokens } };

    /// <summary>A script that says a text and ends the turn.</summary>
    internal static Scripted Saying(EdgeModel model, string text) => new([.. model.Tokenize(text, parseSpecial: true), .. model.Tokenize("<|im_end|>", parseSpecial: true)]);

    public static ChatMessage User(string text) => new(ChatRole.User, text);

    public static TextContent DocumentText(string text) => new(text) { AdditionalProperties = new() { [EdgeChatProperties.Document] = true } };

    public void Dispose()
    {
        foreach (Lazy<EdgeModel> model in (Lazy<EdgeModel>[])[_bundled, _tiny, _tools, _thinking])
        {
            if (model.IsValueCreated)
            {
                model.Value.Dispose();
            }
        }
    }

    private static EdgeModel WithTemplate(string template)
    {
        string hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{template} {EndOfText}")))[..16];
        string tiny = TinyModels.PathOf(TinyModel.LlamaGrouped);
        string path = Path.ChangeExtension(tiny, $"{hash}.gguf");
        if (!File.Exists(path))
        {
            // Several test processes may write it at once.
            string draft = $"{path}.{Environment.ProcessId}";
            new GgufEditor(tiny).Set("tokenizer.chat_template", template).SetTexts("tokenizer.ggml.tokens", new Dictionary<int, string> { [EndOfText] = "<tool_call>" }).Write(draft);
            File.Move(draft, path, overwrite: true);
        }

        return EdgeModel.Load(path);
    }
}
