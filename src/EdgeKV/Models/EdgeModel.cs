using System.Runtime.CompilerServices;
using EdgeKV.Models.Chat;
using EdgeKV.Native;
using LLama;
using LLama.Native;

namespace EdgeKV.Models;

/// <summary>
/// A language model loaded from a GGUF file. Any number of contexts and sessions may share it, and its members may be called by many threads at once.
/// </summary>
/// <remarks>
/// Dispose the sessions first. The other order is safe too: the weights stay until the last context has gone, but members that need the model's
/// tokenizer throw.
/// </remarks>
public sealed class EdgeModel : IDisposable
{
    // One object for each loaded model, so that what is found out about it (chat template, profile) is found out once.
    private static readonly ConditionalWeakTable<SafeLlamaModelHandle, EdgeModel> Known = [];

    private readonly SafeLlamaModelHandle _handle;
    private readonly Tokenizer _tokenizer;
    private readonly Lazy<string> _fingerprint;
    private readonly Lazy<ChatFrame> _chat;
    private readonly CacheGeometry? _geometry;
    private readonly bool _ownsWeights;
    private LLamaWeights? _weights;
    private bool _disposed;

    private EdgeModel(SafeLlamaModelHandle handle, LLamaWeights? weights, string? path, int gpuLayers, bool ownsWeights)
    {
        _handle = handle;
        _weights = weights;
        _ownsWeights = ownsWeights;
        _tokenizer = new Tokenizer(handle);
        GpuLayers = gpuLayers;
        Path = path ?? NativeModel.PathOf(handle);
        _geometry = NativeModel.GeometryOf(handle);
        Layers = handle.LayerCount;
        EmbeddingSize = handle.EmbeddingSize;
        Window = handle.ContextSize;
        Parameters = (long)handle.ParameterCount;
        Bytes = (long)handle.SizeInBytes;
        Description = handle.Description;
        _fingerprint = new Lazy<string>(() => ModelFingerprint.Of(FileOrThrow()), LazyThreadSafetyMode.PublicationOnly);
        _chat = new Lazy<ChatFrame>(() => ChatFrame.Of(_tokenizer, _handle, Path), LazyThreadSafetyMode.PublicationOnly);
    }

    /// <summary>The file that the model was loaded from; empty when it was loaded from something else than one file.</summary>
    public string Path { get; }

    /// <summary>Kind, size and quantization, in llama.cpp's words.</summary>
    public string Description { get; }

    /// <summary>All layers, with and without a cache.</summary>
    public int Layers { get; }

    /// <summary>The layers that keep rows in the KV cache, and their heads. Scores, plans and profiles are about these layers, numbered from 0.</summary>
    /// <exception cref="UnsupportedModelException">No layer does.</exception>
    public CacheGeometry Geometry => _geometry ?? throw new UnsupportedModelException($"{Description} keeps no rows in a KV cache.");

    /// <summary>Elements of the vector that one layer hands to the next.</summary>
    public int EmbeddingSize { get; }

    /// <summary>Identifies the file: profiles are bound to it. Hexadecimal.</summary>
    /// <exception cref="ModelException">The file cannot be read any more, or the model was not loaded from one file.</exception>
    public string Fingerprint => _fingerprint.Value;

    /// <summary>The model's window: the most tokens that it was trained to see at once.</summary>
    public int Window { get; }

    /// <summary>Tokens in the vocabulary.</summary>
    public int VocabularySize => _tokenizer.VocabularySize;

    /// <summary>Parameters.</summary>
    public long Parameters { get; }

    /// <summary>Bytes of all tensors.</summary>
    public long Bytes { get; }

    /// <summary>What the model's KV cache costs.</summary>
    /// <exception cref="UnsupportedModelException">No layer has one.</exception>
    public KvMemory KvMemory => new(Geometry);

    /// <summary>
    /// The system prompt that the model's own template writes when a conversation has none; null when it writes none.
    /// </summary>
    public string? DefaultSystemPrompt => _chat.Value.DefaultSystemPrompt;

    /// <summary>LLamaSharp's weights.</summary>
    /// <exception cref="InvalidOperationException">The model is known from a context alone, whose weights belong to somebody else.</exception>
    public LLamaWeights Weights => _weights
        ?? throw new InvalidOperationException("This model is known from a context alone. Make it with EdgeModel.From(weights) to have its weights.");

    /// <summary>
    /// Layers that <see cref="ModelOptions.GpuLayers"/> put on GPUs, the output layer counted as one: what was asked for, or what fitted. 0 for weights that
    /// LLamaSharp loaded.
    /// </summary>
    public int GpuLayers { get; }

    internal Tokenizer Tokenizer
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed || _handle.IsClosed, this);
            return _tokenizer;
        }
    }

    /// <summary>LLamaSharp's handle. It stays open for contexts; whoever disposed the model may not use it any more.</summary>
    internal SafeLlamaModelHandle Handle
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed || _handle.IsClosed, this);
            return _handle;
        }
    }

    internal ChatFrame Chat => _chat.Value;

    /// <summary>Loads a model, on the calling thread. The first call loads the native library too.</summary>
    /// <inheritdoc cref="LoadAsync"/>
    public static EdgeModel Load(
        string path,
        ModelOptions? options = null,
        IProgress<double>? progress = null,
        CancellationToken cancellationToken = default) =>
        Task.Run(() => LoadAsync(path, options, progress, cancellationToken), CancellationToken.None).GetAwaiter().GetResult();

    /// <summary>Loads a model. The first call loads the native library too.</summary>
    /// <param name="path">The GGUF file.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="progress">Gets the share done, 0 to 1.</param>
    /// <param name="cancellationToken">Stops the loading.</param>
    /// <exception cref="ModelException">The file is missing, damaged or not readable.</exception>
    /// <exception cref="NativeLibraryException">The native library cannot be found or loaded.</exception>
    /// <exception cref="GpuMissingException">Layers were asked to be put on a GPU, and there is none, or none of that name.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static async Task<EdgeModel> LoadAsync(
        string path,
        ModelOptions? options = null,
        IProgress<double>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        options ??= new ModelOptions();
        string full = System.IO.Path.GetFullPath(path);
        (LLamaWeights weights, int gpuLayers) = await ModelLoader.LoadAsync(full, options, progress, cancellationToken).ConfigureAwait(false);
        try
        {
            EdgeModel model = new(weights.NativeHandle, weights, full, gpuLayers, ownsWeights: true);
            Known.Add(weights.NativeHandle, model);
            return model;
        }
        catch
        {
            weights.Dispose();
            throw;
        }
    }

    /// <summary>The model of weights that LLamaSharp loaded. The weights stay the caller's: disposing the result does not free them.</summary>
    /// <param name="weights">Loaded after <see cref="EdgeKVRuntime.Use"/>.</param>
    /// <exception cref="NativeLibraryException">LLamaSharp does not run on EdgeKV's library; the message says why.</exception>
    public static EdgeModel From(LLamaWeights weights)
    {
        ArgumentNullException.ThrowIfNull(weights);
        EdgeModel model = Of(weights.NativeHandle);
        model._weights ??= weights;
        return model;
    }

    /// <summary>The model of a handle, the same object for the same handle.</summary>
    internal static EdgeModel Of(SafeLlamaModelHandle handle)
    {
        EdgeKVRuntime.EnsureLoaded();
        ObjectDisposedException.ThrowIf(handle.IsClosed, typeof(EdgeModel));
        return Known.GetValue(handle, static key => new EdgeModel(key, weights: null, path: null, gpuLayers: 0, ownsWeights: false));
    }

    /// <summary>Bytes of the KV cache per token, over all layers and KV heads.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such type.</exception>
    public long KvBytesPerToken(KvCacheType type) => KvMemory.BytesPerToken(type);

    /// <summary>Throws when caches of this model cannot be made compact.</summary>
    /// <exception cref="UnsupportedModelException">They cannot; the message says why.</exception>
    public void EnsureSupported() =>
        NativeErrors.ThrowIfFailed(NativeMethods.edgekv_model_supported(Handle), nameof(NativeMethods.edgekv_model_supported));

    /// <summary>The value of a GGUF metadata key as text; null when the model has no such key.</summary>
    /// <param name="key">For example "general.name".</param>
    public string? Metadata(string key)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        return ModelMetadata.Read(Handle, key);
    }

    /// <summary>Cuts a text into tokens.</summary>
    /// <param name="text">The text.</param>
    /// <param name="addSpecial">Whether to add the tokens that the model puts around every text.</param>
    /// <param name="parseSpecial">Whether text such as &lt;|im_start|&gt; becomes its control token. Leave it off for text from others.</param>
    /// <exception cref="EdgeKVException">The model's vocabulary cannot express the text; the message says why.</exception>
    public int[] Tokenize(string text, bool addSpecial = false, bool parseSpecial = false)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (!parseSpecial)
        {
            // What the chat template writes says which tokens mark turns.
            _ = _chat.Value;
        }

        return Tokenizer.Tokenize(text, addSpecial, parseSpecial);
    }

    /// <summary>The text of tokens. Bytes that are not UTF-8 become the replacement character.</summary>
    /// <param name="tokens">The tokens.</param>
    /// <param name="special">Whether control tokens are written as text; otherwise they are left out.</param>
    /// <param name="wholeCharacters">Whether a character that the last token leaves incomplete is left out.</param>
    /// <exception cref="EdgeKVException">A token is not in the vocabulary.</exception>
    public string Detokenize(ReadOnlySpan<int> tokens, bool special = false, bool wholeCharacters = false) => Tokenizer.Detokenize(tokens, special, wholeCharacters);

    /// <summary>Whether a token ends generation: end of text, end of turn.</summary>
    /// <exception cref="EdgeKVException">The token is not in the vocabulary.</exception>
    public bool IsEnd(int token) => Tokenizer.IsEnd(token);

    /// <summary>
    /// A conversation as the model's own template writes it. Where the template has a system prompt of its own and the conversation has none,
    /// that prompt is put first, as the template says.
    /// </summary>
    /// <param name="turns">The turns in their order.</param>
    /// <param name="addAssistant">Whether the header of the assistant's answer follows.</param>
    /// <exception cref="UnsupportedModelException">The model has no template, or one that cannot be applied to these turns, or that does not know a role.</exception>
    /// <exception cref="ArgumentException">There is no turn.</exception>
    public string ApplyChatTemplate(IReadOnlyList<ChatTurn> turns, bool addAssistant) => _chat.Value.Apply(turns, addAssistant);

    /// <summary>
    /// The tokens of a document as the beginning of a user's turn: the template's opening, then the document. The tokens of
    /// <see cref="TokenizeQuestion"/> follow in the same turn. Control tokens that the document spells out stay plain text.
    /// </summary>
    /// <param name="document">The document.</param>
    /// <exception cref="UnsupportedModelException">The model has no template, or one that cannot be applied.</exception>
    public int[] TokenizeDocument(string document)
    {
        ArgumentNullException.ThrowIfNull(document);
        return _chat.Value.Open(document);
    }

    /// <summary>
    /// The tokens of a question that ends the user's turn which a document began, and of the header of the assistant's answer.
    /// </summary>
    /// <param name="question">The question.</param>
    /// <param name="answerPrefix">Words that the answer begins with, given rather than generated; null or empty for none.</param>
    /// <param name="newTurn">Whether the question begins a turn of its own, after an earlier answer.</param>
    /// <exception cref="UnsupportedModelException">The model has no template, or one that cannot be applied.</exception>
    public int[] TokenizeQuestion(string question, string? answerPrefix = null, bool newTurn = false)
    {
        ArgumentNullException.ThrowIfNull(question);
        return _chat.Value.Close(question, answerPrefix ?? string.Empty, newTurn);
    }

    /// <summary>Frees the weights once no context uses them any more, unless they are somebody else's. Using the model afterwards throws.</summary>
    public void Dispose()
    {
        if (_ownsWeights)
        {
            _disposed = true;
            _weights!.Dispose();
        }
    }

    /// <summary>For example "llama 135M Q4_1 (SmolLM2-135M-Instruct.Q4_1.gguf)".</summary>
    public override string ToString() => $"{Description} ({System.IO.Path.GetFileName(Path)})";

    private string FileOrThrow() => Path.Length > 0
        ? Path
        : throw new ModelException("The model was not loaded from one file, so that profiles cannot be bound to it. Give the profile when attaching.");
}
