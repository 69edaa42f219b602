using System.Diagnostics;
using EdgeKV.Native;
using EdgeKV.Planning;

namespace EdgeKV.Testing;

/// <summary>
/// EdgeKV's C API with tokens in and logits out, below chat templates and policies, so that a test feeds both engines the same. Statuses
/// become the exceptions that the library throws.
/// </summary>
public sealed unsafe class Engine : IDisposable
{
    private readonly ModelHandle _model;
    private readonly ContextHandle _context;
    private readonly bool _ownsModel;

    private Engine(ModelHandle model, ContextHandle context, EngineOptions options, bool ownsModel)
    {
        _model = model;
        _context = context;
        _ownsModel = ownsModel;
        Options = options;
        Layers = (int)Get(NativeModelKey.Layers);
        Heads = (int)Get(NativeModelKey.Heads);
        KvHeads = (int)Get(NativeModelKey.KvHeads);
        HeadSizeK = (int)Get(NativeModelKey.HeadSizeK);
        HeadSizeV = (int)Get(NativeModelKey.HeadSizeV);
        Vocabulary = (int)Get(NativeModelKey.VocabularySize);
    }

    public EngineOptions Options { get; }

    public int Layers { get; }

    public int Heads { get; }

    public int KvHeads { get; }

    public int HeadSizeK { get; }

    public int HeadSizeV { get; }

    public int Vocabulary { get; }

    /// <summary>The position of the next token.</summary>
    public int Position => NativeMethods.edgekv_position(_context);

    /// <summary>Bytes of the buffers that hold K and V, as the backends report them.</summary>
    public long CacheBytes => Get(NativeCacheKey.Bytes);

    /// <summary>Bytes of one KV head's K row and V row.</summary>
    public long RowBytes => Get(NativeCacheKey.RowBytes);

    /// <summary>Whether the cache is compact.</summary>
    public bool IsCompact => Get(NativeCacheKey.Compact) != 0;

    /// <summary>Names and descriptions of ggml's devices, GPUs first marked as such.</summary>
    public static IReadOnlyList<(bool Gpu, string Name)> Devices()
    {
        NativeLibraryLoader.EnsureLoaded();
        List<(bool, string)> devices = [];
        byte* name = stackalloc byte[256];
        byte* description = stackalloc byte[256];
        for (int i = 0; i < NativeMethods.edgekv_device_count(); i++)
        {
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_device_info(i, out NativeDeviceType type, out _, out _, name, 256, description, 256),
                nameof(NativeMethods.edgekv_device_info));
            devices.Add((
                type == NativeDeviceType.Gpu,
                $"{System.Runtime.InteropServices.Marshal.PtrToStringUTF8((nint)name)} "
                + $"({System.Runtime.InteropServices.Marshal.PtrToStringUTF8((nint)description)})"));
        }

        return devices;
    }

    /// <summary>Loads a model and makes a context.</summary>
    public static Engine Open(EngineOptions options)
    {
        ModelHandle model = ModelHandle.Load(options.Model, options.GpuLayers, memoryMap: true, null, CancellationToken.None);
        try
        {
            return new Engine(model, NewContext(model, options), options, ownsModel: true);
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>The bare status of <c>edgekv_model_supported</c> for a file, and its reason.</summary>
    public static void EnsureSupported(string path)
    {
        using ModelHandle model = ModelHandle.Load(path, 0, memoryMap: true, null, CancellationToken.None);
        NativeErrors.ThrowIfFailed(NativeMethods.edgekv_model_supported(model), nameof(NativeMethods.edgekv_model_supported));
    }

    /// <summary>Another context over the same model, which must outlive it.</summary>
    public Engine Sibling(EngineOptions options) => new(_model, NewContext(_model, options), options, ownsModel: false);

    /// <summary>Feeds tokens in batches and keeps the last one's logits; seconds.</summary>
    public double Prefill(ReadOnlySpan<int> tokens, IProgress<double>? progress = null, CancellationToken cancellation = default)
    {
        long start = Stopwatch.GetTimestamp();
        using ProgressCallback callback = new(progress, cancellation);
        fixed (int* p = tokens)
        {
            NativeStatus status = NativeMethods.edgekv_decode(
                _context, p, tokens.Length, NativeLogits.Last, ProgressCallback.Function, callback.User);
            callback.ThrowIfFailed();
            NativeErrors.ThrowIfFailed(status, nameof(NativeMethods.edgekv_decode), cancellation);
        }

        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>Feeds tokens one at a time, or as prompts of the batch size, and returns the logits after each.</summary>
    public Logits Decode(ReadOnlySpan<int> tokens, bool stepwise = true)
    {
        float[] all = new float[(long)tokens.Length * Vocabulary];
        int step = stepwise ? 1 : Options.BatchSize;
        for (int i = 0; i < tokens.Length; i += step)
        {
            ReadOnlySpan<int> part = tokens.Slice(i, Math.Min(step, tokens.Length - i));
            Feed(part, NativeLogits.All);
            for (int j = 0; j < part.Length; j++)
            {
                Logits(j).CopyTo(all.AsSpan((i + j) * Vocabulary));
            }
        }

        return new Logits(all, Vocabulary);
    }

    /// <summary>Feeds tokens as <see cref="Decode"/> does; seconds.</summary>
    public double Time(ReadOnlySpan<int> tokens, bool stepwise = true)
    {
        long start = Stopwatch.GetTimestamp();
        int step = stepwise ? 1 : Options.BatchSize;
        for (int i = 0; i < tokens.Length; i += step)
        {
            // As the stock program: all logits of a prompt are computed.
            Feed(tokens.Slice(i, Math.Min(step, tokens.Length - i)), NativeLogits.All);
            _ = Logits(-1);
        }

        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>Picks the most likely token and feeds it, up to count times or until a token that ends generation.</summary>
    public int[] Greedy(int count)
    {
        List<int> picked = [];
        for (int i = 0; i < count; i++)
        {
            int token = System.Numerics.Tensors.TensorPrimitives.IndexOfMax(Logits(-1));
            if (NativeMethods.edgekv_token_is_end(_model, token))
            {
                break;
            }

            picked.Add(token);
            Feed([token], NativeLogits.Last);
        }

        return [.. picked];
    }

    /// <summary>The text of tokens.</summary>
    public string Text(ReadOnlySpan<int> tokens, bool special = false)
    {
        List<byte> text = [];
        byte* piece = stackalloc byte[256];
        foreach (int token in tokens)
        {
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_token_text(_model, token, special, piece, 256, out nuint length), nameof(NativeMethods.edgekv_token_text));
            text.AddRange(new ReadOnlySpan<byte>(piece, (int)length));
        }

        return System.Text.Encoding.UTF8.GetString([.. text]);
    }

    /// <summary>The tokens of a text.</summary>
    public int[] Tokenize(string text)
    {
        byte[] utf8 = System.Text.Encoding.UTF8.GetBytes(text);
        int[] tokens = new int[utf8.Length + 8];
        fixed (byte* p = utf8)
        {
            fixed (int* t = tokens)
            {
                NativeErrors.ThrowIfFailed(
                    NativeMethods.edgekv_tokenize(_model, p, (nuint)utf8.Length, false, false, t, tokens.Length, out int count),
                    nameof(NativeMethods.edgekv_tokenize));
                return tokens[..count];
            }
        }
    }

    /// <summary>Rewrites the cache; seconds.</summary>
    public double Apply(CompressionPlan plan, int room = 0, int align = 0) => Apply(plan.Counts, plan.FlatPositions, room, align);

    /// <summary>Rewrites the cache as arrays say that no plan would accept; seconds.</summary>
    public double Apply(ReadOnlySpan<int> counts, ReadOnlySpan<int> positions, int room = 0, int align = 0)
    {
        long start = Stopwatch.GetTimestamp();
        fixed (int* c = counts)
        {
            fixed (int* p = positions)
            {
                NativeErrors.ThrowIfFailed(
                    NativeMethods.edgekv_apply(
                        _context, c, (nuint)counts.Length, p, (nuint)positions.Length, (uint)room, (uint)align),
                    nameof(NativeMethods.edgekv_apply));
            }
        }

        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>Takes back every token from a position on.</summary>
    public void Rollback(int position) =>
        NativeErrors.ThrowIfFailed(NativeMethods.edgekv_rollback(_context, position), nameof(NativeMethods.edgekv_rollback));

    /// <summary>Empties the cache.</summary>
    public void Clear() => NativeErrors.ThrowIfFailed(NativeMethods.edgekv_clear(_context), nameof(NativeMethods.edgekv_clear));

    /// <summary>Asks the running call, or the next one, to stop.</summary>
    public void Interrupt() => _context.Interrupt();

    /// <summary>
    /// Feeds tokens and gathers their attention over the first context positions: max and sum, [layers, heads, context]; seconds. The
    /// tokens stay.
    /// </summary>
    public (float[] Max, float[] Sum, double Seconds) Score(
        ReadOnlySpan<int> tokens, int context, long bytesMax = 0, ReadOnlySpan<int> see = default)
    {
        using ScoresHandle scores = ScoresHandle.Create(_context, context, NativeAggregates.Max | NativeAggregates.Sum);
        if (!see.IsEmpty)
        {
            fixed (int* ranges = see)
            {
                NativeErrors.ThrowIfFailed(
                    NativeMethods.edgekv_scores_see(scores, ranges, (nuint)see.Length / 2), nameof(NativeMethods.edgekv_scores_see));
            }
        }

        long start = Stopwatch.GetTimestamp();
        fixed (int* p = tokens)
        {
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_score(_context, scores, p, tokens.Length, (ulong)bytesMax, null, null), nameof(NativeMethods.edgekv_score));
        }

        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        int length = Layers * Heads * context;
        float[] max = new ReadOnlySpan<float>(NativeMethods.edgekv_scores_data(scores, NativeAggregates.Max), length).ToArray();
        float[] sum = new ReadOnlySpan<float>(NativeMethods.edgekv_scores_data(scores, NativeAggregates.Sum), length).ToArray();
        NativeErrors.ThrowIfFailed(NativeMethods.edgekv_score_end(_context), nameof(NativeMethods.edgekv_score_end));
        return (max, sum, seconds);
    }

    /// <summary>Kept rows, and rows for later tokens, of every KV head.</summary>
    public (int[] Rows, int[] Room) Rows()
    {
        int[] rows = new int[Layers * KvHeads];
        int[] room = new int[Layers * KvHeads];
        fixed (int* r = rows)
        {
            fixed (int* o = room)
            {
                NativeErrors.ThrowIfFailed(
                    NativeMethods.edgekv_cache_rows(_context, r, o, (nuint)rows.Length), nameof(NativeMethods.edgekv_cache_rows));
            }
        }

        return (rows, room);
    }

    /// <summary>The positions that one KV head kept.</summary>
    public int[] Positions(int layer, int kvHead)
    {
        int[] positions = new int[Rows().Rows[layer * KvHeads + kvHead]];
        fixed (int* p = positions)
        {
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_cache_positions(_context, layer, kvHead, p, (nuint)positions.Length),
                nameof(NativeMethods.edgekv_cache_positions));
        }

        return positions;
    }

    /// <summary>Saves the cache and the tokens.</summary>
    public void Save(string path, ReadOnlySpan<int> tokens)
    {
        fixed (int* p = tokens)
        {
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_state_save(_context, path, p, (nuint)tokens.Length), nameof(NativeMethods.edgekv_state_save));
        }
    }

    /// <summary>Loads what <see cref="Save"/> wrote; the tokens.</summary>
    public int[] Load(string path, int capacity)
    {
        int[] tokens = new int[capacity];
        fixed (int* p = tokens)
        {
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_state_load(_context, path, p, (nuint)capacity, out nuint count), nameof(NativeMethods.edgekv_state_load));
            return tokens[..(int)count];
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _context.Dispose();
        if (_ownsModel)
        {
            _model.Dispose();
        }
    }

    private static ContextHandle NewContext(ModelHandle model, EngineOptions options) => ContextHandle.Create(
        model,
        (uint)options.ContextSize,
        (uint)options.BatchSize,
        options.Type.ToNative(),
        options.Threads,
        offloadKv: true,
        (NativeAttention)options.Attention);

    private void Feed(ReadOnlySpan<int> tokens, NativeLogits logits)
    {
        fixed (int* p = tokens)
        {
            NativeErrors.ThrowIfFailed(
                NativeMethods.edgekv_decode(_context, p, tokens.Length, logits, null, null), nameof(NativeMethods.edgekv_decode));
        }
    }

    private ReadOnlySpan<float> Logits(int index)
    {
        NativeErrors.ThrowIfFailed(NativeMethods.edgekv_logits(_context, index, out float* logits), nameof(NativeMethods.edgekv_logits));
        return new ReadOnlySpan<float>(logits, Vocabulary);
    }

    private long Get(NativeModelKey key)
    {
        NativeErrors.ThrowIfFailed(NativeMethods.edgekv_model_get(_model, key, out long value), nameof(NativeMethods.edgekv_model_get));
        return value;
    }

    private long Get(NativeCacheKey key)
    {
        NativeErrors.ThrowIfFailed(NativeMethods.edgekv_cache_get(_context, key, out long value), nameof(NativeMethods.edgekv_cache_get));
        return value;
    }
}
