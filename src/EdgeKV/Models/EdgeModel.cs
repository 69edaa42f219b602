using System.Buffers;
using System.Runtime.InteropServices;
using System.Text;
using EdgeKV.Models.Chat;
using EdgeKV.Native;
using EdgeKV.Profiles;
using EdgeKV.Scoring;
using EdgeKV.Sessions;

namespace EdgeKV.Models;

/// <summary>
/// A language model loaded from a GGUF file. Any number of sessions may share it, and its members may be called by many threads at once.
/// </summary>
/// <remarks>
/// Dispose the sessions first. The other way round is safe too: the weights stay until the last session has gone, but what needs the model's
/// tokenizer throws.
/// </remarks>
public sealed class EdgeModel : IDisposable
{
    private const string Instruction = "\n\nRepeat the previous context exactly.";
    private const string PartInstruction = "\n\nRepeat the part of the previous context exactly, starting with";

    private readonly Dictionary<ScoreProfile, ScoreMapHandle> _maps = new(ReferenceEqualityComparer.Instance);
    private readonly Lazy<string> _fingerprint;
    private readonly Lazy<ScoreProfile?> _profile;
    private readonly Lazy<ChatFrame> _chat;
    private readonly ModelHandle _handle;
    private bool _disposed;

    private EdgeModel(string path, ModelOptions options, ModelHandle handle)
    {
        Path = path;
        Options = options;
        _handle = handle;
        Layers = (int)Get(NativeModelKey.Layers);
        Heads = (int)Get(NativeModelKey.Heads);
        KvHeads = (int)Get(NativeModelKey.KvHeads);
        HeadSizeK = (int)Get(NativeModelKey.HeadSizeK);
        HeadSizeV = (int)Get(NativeModelKey.HeadSizeV);
        EmbeddingSize = (int)Get(NativeModelKey.EmbeddingSize);
        Window = (int)Get(NativeModelKey.Window);
        VocabularySize = (int)Get(NativeModelKey.VocabularySize);
        Parameters = Get(NativeModelKey.Parameters);
        Bytes = Get(NativeModelKey.Bytes);
        Description = Text(null) ?? string.Empty;
        KvMemory = new KvMemory(Layers, KvHeads, HeadSizeK, HeadSizeV);
        _fingerprint = new Lazy<string>(() => ModelFingerprint.Of(Path), LazyThreadSafetyMode.PublicationOnly);
        _profile = new Lazy<ScoreProfile?>(FindProfile, LazyThreadSafetyMode.PublicationOnly);
        _chat = new Lazy<ChatFrame>(() => ChatFrame.Of(this), LazyThreadSafetyMode.PublicationOnly);
    }

    /// <summary>The file it was loaded from.</summary>
    public string Path { get; }

    /// <summary>Kind, size and quantisation, in llama.cpp's words.</summary>
    public string Description { get; }

    /// <summary>Layers.</summary>
    public int Layers { get; }

    /// <summary>Attention heads of a layer.</summary>
    public int Heads { get; }

    /// <summary>KV heads of a layer.</summary>
    public int KvHeads { get; }

    /// <summary>Elements of a key of one KV head.</summary>
    public int HeadSizeK { get; }

    /// <summary>Elements of a value of one KV head.</summary>
    public int HeadSizeV { get; }

    /// <summary>Elements of what goes from layer to layer.</summary>
    public int EmbeddingSize { get; }

    /// <summary>Tells the file apart from others: what profiles are bound to. Hexadecimal.</summary>
    /// <exception cref="ModelException">The file cannot be read any more.</exception>
    public string Fingerprint => _fingerprint.Value;

    /// <summary>
    /// What was learned about this model, so that its sessions score tokens as they read them: the file that
    /// <see cref="ProfileLocator.Find(string)"/> finds, read when it is first asked for; null when there is none.
    /// </summary>
    /// <exception cref="ProfileException">The file is damaged, of another version, or was made for another model; the message names it.</exception>
    /// <exception cref="ModelException">The model's file cannot be read any more.</exception>
    public ScoreProfile? Profile => _profile.Value;

    /// <summary>The model's window: the most tokens that it was trained to see at once.</summary>
    public int Window { get; }

    /// <summary>Tokens in the vocabulary.</summary>
    public int VocabularySize { get; }

    /// <summary>Parameters.</summary>
    public long Parameters { get; }

    /// <summary>Bytes of all tensors.</summary>
    public long Bytes { get; }

    /// <summary>What the model's KV cache costs.</summary>
    public KvMemory KvMemory { get; }

    /// <summary>
    /// What the model's own template puts in as the system's turn when a conversation has none; null when it puts in nothing.
    /// </summary>
    public string? DefaultSystemPrompt => _chat.Value.DefaultSystemPrompt;

    internal ModelOptions Options { get; }

    /// <summary>The handle stays open for sessions; whoever disposed the model may not use it any more.</summary>
    internal ModelHandle Handle
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return _handle;
        }
    }

    /// <summary>Loads a model. The first call loads the native library too.</summary>
    /// <param name="path">The GGUF file.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="progress">Gets the share done, 0 to 1.</param>
    /// <param name="cancellationToken">Stops the loading.</param>
    /// <exception cref="ModelException">The file is missing, damaged or not readable.</exception>
    /// <exception cref="NativeLibraryException">The native library cannot be found or loaded.</exception>
    /// <exception cref="OutOfKvMemoryException">Not enough memory.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static EdgeModel Load(
        string path,
        ModelOptions? options = null,
        IProgress<double>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        options ??= new ModelOptions();
        if (!File.Exists(path))
        {
            throw new ModelException(
                Directory.Exists(path) ? $"The model is a folder, not a GGUF file: {path}." : $"The model does not exist: {path}.");
        }

        string full = System.IO.Path.GetFullPath(path);
        ModelHandle handle = ModelHandle.Load(full, options.GpuLayers, options.MemoryMap, progress, cancellationToken);
        try
        {
            return new EdgeModel(full, options, handle);
        }
        catch
        {
            handle.Dispose();
            throw;
        }
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
        return Text(key);
    }

    /// <summary>Cuts a text into tokens.</summary>
    /// <param name="text">The text.</param>
    /// <param name="addSpecial">With the tokens that the model puts around every text.</param>
    /// <param name="parseSpecial">Text such as &lt;|im_start|&gt; becomes its control token. Leave it off for text from others.</param>
    /// <exception cref="ArgumentException">The text is longer than the native call can take.</exception>
    public unsafe int[] Tokenize(string text, bool addSpecial = false, bool parseSpecial = false)
    {
        ArgumentNullException.ThrowIfNull(text);
        byte[] bytes = ArrayPool<byte>.Shared.Rent(Math.Max(1, Encoding.UTF8.GetMaxByteCount(text.Length)));
        int[]? tokens = null;
        try
        {
            int length = Encoding.UTF8.GetBytes(text, bytes);

            // Rarely more tokens than bytes: what the model adds at the ends.
            tokens = ArrayPool<int>.Shared.Rent(length + 8);
            while (true)
            {
                NativeStatus status;
                int count;
                fixed (byte* bytesPointer = bytes)
                fixed (int* tokensPointer = tokens)
                {
                    status = NativeMethods.edgekv_tokenize(
                        Handle, bytesPointer, (nuint)length, addSpecial, parseSpecial, tokensPointer, tokens.Length, out count);
                }

                if (status == NativeStatus.Argument && count > tokens.Length)
                {
                    ArrayPool<int>.Shared.Return(tokens);
                    tokens = ArrayPool<int>.Shared.Rent(count);
                    continue;
                }

                NativeErrors.ThrowIfFailed(status, nameof(NativeMethods.edgekv_tokenize));
                return tokens.AsSpan(0, count).ToArray();
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
            if (tokens is not null)
            {
                ArrayPool<int>.Shared.Return(tokens);
            }
        }
    }

    /// <summary>The text of tokens. Bytes that are no UTF-8 become the replacement character.</summary>
    /// <param name="tokens">The tokens.</param>
    /// <param name="special">Control tokens as text; else they are left out.</param>
    /// <exception cref="EdgeKVException">A token is not in the vocabulary.</exception>
    public string Detokenize(ReadOnlySpan<int> tokens, bool special = false)
    {
        ArrayBufferWriter<byte> text = new(Math.Max(16, tokens.Length * 4));
        foreach (int token in tokens)
        {
            text.Advance(TokenText(token, special, text));
        }

        return Encoding.UTF8.GetString(text.WrittenSpan);
    }

    /// <summary>Whether a token ends generation: end of text, end of turn.</summary>
    public bool IsEnd(int token) => NativeMethods.edgekv_token_is_end(Handle, token);

    /// <summary>
    /// Which tokens are special ones and which are punctuation, as AnswerDotAI/cold-compress takes them for FastGen: a special token is no text, such as a turn's
    /// start, or ends generation; punctuation is a token of nothing but white space, punctuation of any script and symbols of ASCII. A part of a character
    /// is neither.
    /// </summary>
    /// <param name="tokens">The tokens.</param>
    /// <exception cref="EdgeKVException">A token is not in the vocabulary.</exception>
    public TokenMasks MasksOf(ReadOnlySpan<int> tokens)
    {
        bool[] special = new bool[tokens.Length];
        bool[] punctuation = new bool[tokens.Length];
        Dictionary<int, (bool Special, bool Punctuation)> seen = [];
        for (int i = 0; i < tokens.Length; i++)
        {
            if (!seen.TryGetValue(tokens[i], out (bool, bool) classes))
            {
                string text = Detokenize([tokens[i]]);
                bool isSpecial = text.Length == 0 || IsEnd(tokens[i]);
                classes = (isSpecial, !isSpecial && text.All(IsPunctuation));
                seen.Add(tokens[i], classes);
            }

            (special[i], punctuation[i]) = classes;
        }

        return new TokenMasks(special, punctuation);

        static bool IsPunctuation(char letter) =>
            char.IsWhiteSpace(letter) || char.IsPunctuation(letter) || (char.IsAscii(letter) && char.IsSymbol(letter));
    }

    /// <summary>
    /// A conversation as the model's own template writes it. Where the template has a system prompt of its own and the conversation has none,
    /// that prompt is put first, as the template says.
    /// </summary>
    /// <param name="turns">The turns in their order.</param>
    /// <param name="addAssistant">Whether the header of the assistant's answer follows.</param>
    /// <exception cref="UnsupportedModelException">The model has no template, or one that llama.cpp does not know.</exception>
    /// <exception cref="ArgumentException">There is no turn, or one has a zero character, which templates cannot carry.</exception>
    public string ApplyChatTemplate(IReadOnlyList<ChatTurn> turns, bool addAssistant)
    {
        ArgumentNullException.ThrowIfNull(turns);
        if (turns.Count == 0)
        {
            throw new ArgumentException("A conversation needs at least one turn.", nameof(turns));
        }

        foreach (ChatTurn turn in turns)
        {
            if (turn.Role.Contains('\0', StringComparison.Ordinal) || turn.Content.Contains('\0', StringComparison.Ordinal))
            {
                throw new ArgumentException("A turn has a zero character, which templates cannot carry.", nameof(turns));
            }
        }

        return DefaultSystemPrompt is { } system && turns.All(turn => turn.Role != ChatFrame.SystemRole)
            ? TemplateText([new ChatTurn(ChatFrame.SystemRole, system), .. turns], addAssistant)
            : TemplateText(turns, addAssistant);
    }

    /// <summary>
    /// The tokens of a document as the beginning of a user's turn: the template's opening, then the document. What follows in the same
    /// turn are the tokens of <see cref="TokenizeQuestion"/>. Control tokens that the document spells out stay plain text.
    /// </summary>
    /// <param name="document">The document.</param>
    /// <exception cref="UnsupportedModelException">The model has no template, or one that llama.cpp does not know.</exception>
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
    /// <exception cref="UnsupportedModelException">The model has no template, or one that llama.cpp does not know.</exception>
    public int[] TokenizeQuestion(string question, string? answerPrefix = null, bool newTurn = false)
    {
        ArgumentNullException.ThrowIfNull(question);
        return _chat.Value.Close(question, answerPrefix ?? string.Empty, newTurn);
    }

    /// <summary>
    /// What stands between a context and its repetition when the repetition scores it: the instruction, and the change to the assistant's
    /// turn (the teacher of learned scores, after KVzip, arXiv 2505.23416). Without a chat template the instruction alone.
    /// </summary>
    internal int[] RepeatInstruction() => _chat.Value.HasTemplate
        ? _chat.Value.Close(Instruction, string.Empty, newTurn: false)
        : Tokenize(Instruction);

    /// <summary>Positions that <see cref="TaskSet.Probe"/> takes behind a context.</summary>
    public int ProbeTokens => ProbeQuestion().Length;

    /// <summary>The general question that stands after a context when it looks at it: see <see cref="TaskSet.Probe"/>.</summary>
    internal int[] ProbeQuestion() => TokenizeQuestion(ProbeTaskSet.Text);

    /// <summary>
    /// What asks for one chunk of a context to be repeated (KVzip, arXiv 2505.23416): the instruction, for later chunks another one and the tokens
    /// that stand before the chunk, and the change to the assistant's turn; a line break without a chat template. Tokenized apart, as the
    /// reference does it.
    /// </summary>
    /// <param name="before">The end of the chunk before; empty for the first chunk.</param>
    internal int[] ReconstructionInstruction(ReadOnlySpan<int> before)
    {
        int[] change = _chat.Value.HasTemplate ? _chat.Value.Close(string.Empty, string.Empty, newTurn: false) : Tokenize("\n");
        return [.. Tokenize(before.IsEmpty ? Instruction : PartInstruction), .. before, .. change];
    }

    /// <summary>How many of a context's first tokens are the chat template's and not the user's.</summary>
    internal int OpeningLength(ReadOnlySpan<int> context) => _chat.Value.OpeningLength(context);

    /// <summary>The profile's map on this model's devices: made once, gone with the model.</summary>
    internal ScoreMapHandle MapOf(ScoreProfile profile)
    {
        lock (_maps)
        {
            if (!_maps.TryGetValue(profile, out ScoreMapHandle? map))
            {
                profile.EnsureFits(this);
                map = ScoreMapHandle.Create(Handle, profile.Weights.Span);
                _maps.Add(profile, map);
            }

            return map;
        }
    }

    /// <summary>A session with a KV cache of its own.</summary>
    /// <param name="options">Size and type of its cache; null for the defaults.</param>
    /// <exception cref="ContextWindowException">A context larger than the model's window was asked for.</exception>
    /// <exception cref="OutOfKvMemoryException">Not enough memory for the cache.</exception>
    /// <exception cref="ProfileException">The model's profile, or the one given, is damaged or another model's.</exception>
    /// <exception cref="ObjectDisposedException">The model has been disposed.</exception>
    public EdgeSession CreateSession(SessionOptions? options = null) => new(this, options ?? new SessionOptions());

    /// <summary>Frees the weights once no session uses them any more. Using the model afterwards throws.</summary>
    public void Dispose()
    {
        _disposed = true;
        lock (_maps)
        {
            foreach (ScoreMapHandle map in _maps.Values)
            {
                map.Dispose();
            }

            _maps.Clear();
        }

        _handle.Dispose();
    }

    /// <summary>For example "llama 135M Q4_1 (SmolLM2-135M-Instruct.Q4_1.gguf)".</summary>
    public override string ToString() => $"{Description} ({System.IO.Path.GetFileName(Path)})";

    /// <summary>Writes a token's bytes into a buffer that grows as needed, without advancing it.</summary>
    /// <returns>Bytes written.</returns>
    internal int TokenText(int token, bool special, IBufferWriter<byte> buffer)
    {
        Span<byte> target = buffer.GetSpan(64);
        NativeStatus status = TokenText(token, special, target, out int length);
        if (status == NativeStatus.Argument && length > target.Length)
        {
            target = buffer.GetSpan(length);
            status = TokenText(token, special, target, out length);
        }

        NativeErrors.ThrowIfFailed(status, nameof(NativeMethods.edgekv_token_text));
        return length;
    }

    /// <summary>The conversation as llama.cpp writes it, without the template's own system prompt.</summary>
    internal unsafe string TemplateText(IReadOnlyList<ChatTurn> turns, bool addAssistant)
    {
        byte*[] texts = new byte*[turns.Count * 2];
        byte[] buffer = ArrayPool<byte>.Shared.Rent(1024);
        try
        {
            for (int i = 0; i < turns.Count; i++)
            {
                texts[i] = (byte*)Marshal.StringToCoTaskMemUTF8(turns[i].Role);
                texts[turns.Count + i] = (byte*)Marshal.StringToCoTaskMemUTF8(turns[i].Content);
            }

            while (true)
            {
                NativeStatus status;
                nuint length;
                fixed (byte** textsPointer = texts)
                fixed (byte* bufferPointer = buffer)
                {
                    status = NativeMethods.edgekv_chat_text(
                        Handle,
                        textsPointer,
                        textsPointer + turns.Count,
                        (nuint)turns.Count,
                        addAssistant,
                        bufferPointer,
                        (nuint)buffer.Length,
                        out length);
                }

                if (status == NativeStatus.Argument && length >= (nuint)buffer.Length)
                {
                    ArrayPool<byte>.Shared.Return(buffer);
                    buffer = ArrayPool<byte>.Shared.Rent(checked((int)length + 1));
                    continue;
                }

                NativeErrors.ThrowIfFailed(status, nameof(NativeMethods.edgekv_chat_text));
                return Encoding.UTF8.GetString(buffer, 0, checked((int)length));
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
            foreach (byte* text in texts)
            {
                Marshal.FreeCoTaskMem((nint)text);
            }
        }
    }

    private unsafe NativeStatus TokenText(int token, bool special, Span<byte> target, out int length)
    {
        fixed (byte* pointer = target)
        {
            NativeStatus status = NativeMethods.edgekv_token_text(Handle, token, special, pointer, (nuint)target.Length, out nuint bytes);
            length = checked((int)bytes);
            return status;
        }
    }

    private ScoreProfile? FindProfile()
    {
        if (ProfileLocator.Find(Path) is not { } file)
        {
            return null;
        }

        ScoreProfile profile = ScoreProfile.Load(file);
        profile.EnsureFits(this);
        return profile;
    }

    private long Get(NativeModelKey key)
    {
        NativeErrors.ThrowIfFailed(NativeMethods.edgekv_model_get(Handle, key, out long value), nameof(NativeMethods.edgekv_model_get));
        return value;
    }

    private unsafe string? Text(string? key)
    {
        byte[] buffer = new byte[256];
        while (true)
        {
            NativeStatus status;
            nuint length;
            fixed (byte* pointer = buffer)
            {
                status = NativeMethods.edgekv_model_text(Handle, key, pointer, (nuint)buffer.Length, out length);
            }

            if (status == NativeStatus.Argument)
            {
                return null;
            }

            NativeErrors.ThrowIfFailed(status, nameof(NativeMethods.edgekv_model_text));
            if (length < (nuint)buffer.Length)
            {
                return Encoding.UTF8.GetString(buffer, 0, (int)length);
            }

            buffer = new byte[checked((int)length + 1)];
        }
    }
}
