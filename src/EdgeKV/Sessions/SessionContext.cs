using EdgeKV.Engine;
using EdgeKV.Models;
using EdgeKV.Models.Chat;

namespace EdgeKV.Sessions;

/// <summary>The context of a session: made when it is needed, and made anew where a longer document takes a larger one.</summary>
internal sealed class SessionContext(EdgeModel model, SessionOptions options, ChatFrame chat) : IDisposable
{
    // Room beside twice the document when the session chooses its size: questions, answers and the template's parts.
    private const int SpareTokens = 2048;

    private KvContext? _kv;

    // Whether the context was made for one chunk of a document that was compressed while it was read: its full cache is of no use to other work.
    private bool _isOfOneChunk;

    /// <summary>The context; null as long as there is none.</summary>
    public KvContext? Kv => _kv;

    /// <summary>The position that the next token gets.</summary>
    public int Position => _kv is { } kv && !kv.Context.NativeHandle.IsClosed ? kv.Position : 0;

    /// <summary>The cache as it is now.</summary>
    public CacheState State => _kv?.State ?? Empty();

    /// <summary>Positions that the cache can come to hold.</summary>
    public int Limit => _kv?.Limit ?? (options.ContextSize > 0 ? options.ContextSize : model.Window);

    /// <summary>Where a saved state would go: the full cache may be made anew for it.</summary>
    public StatePlace StatePlace
    {
        get
        {
            long type = (long)options.CacheType.ToGgml();
            return new StatePlace(model, type, type, RowBytes(), options.ContextSize > 0 ? options.ContextSize : model.Window);
        }
    }

    /// <summary>Cells of a full cache that can hold a document, twice where the session chooses its own size and the window allows it.</summary>
    public int FullSize(int tokens) => options.ContextSize > 0 ? options.ContextSize : (int)Math.Min(2L * tokens + SpareTokens, model.Window);

    /// <summary>The context, made, or made larger while it is empty, so that it can hold so many tokens.</summary>
    public KvContext Ensure(int tokens)
    {
        int wanted = FullSize(tokens);
        if (_kv is null || (Position == 0 && !_kv.Native.IsCompact && wanted > (int)_kv.Native.Get(Native.NativeCacheKey.ContextSize)))
        {
            Make(wanted, positions: 0);
        }

        return _kv!;
    }

    /// <summary>Makes a context in place of the one that is there.</summary>
    /// <param name="size">Cells of the full cache.</param>
    /// <param name="positions">Positions that the context will come to have; 0: no more than there are cells.</param>
    public KvContext Make(int size, int positions)
    {
        // The old one goes first: both together may not fit.
        Dispose();
        _isOfOneChunk = positions > 0;
        _kv = ContextFactory.Create(model, options, size, positions);
        _kv.Native.Chat = chat;
        return _kv;
    }

    /// <summary>Empties the context, or frees one that is of no use to other work.</summary>
    public void Clear()
    {
        if (_isOfOneChunk)
        {
            Dispose();
        }
        else
        {
            _kv?.Clear();
        }
    }

    /// <summary>Stops what is running, waits for that, and frees the context. The next work makes another one.</summary>
    public void Dispose()
    {
        _isOfOneChunk = false;
        if (Interlocked.Exchange(ref _kv, null) is { } kv)
        {
            kv.Native.StopAndWait();
            kv.Dispose();
            kv.Context.Dispose();
            kv.Native.Worker.Close();
        }
    }

    private long[] RowBytes() =>
        [.. Enumerable.Range(0, model.Geometry.Layers.Count).Select(layer => model.KvMemory.BytesPerRow(layer, options.CacheType))];

    private CacheState Empty() => new()
    {
        Layout = CacheLayout.Full,
        Geometry = model.Geometry,
        Position = 0,
        Tokens = default,
        ContextTokens = 0,
        Rows = 0,
        Room = 0,
        Bytes = 0,
        RowBytes = RowBytes(),
        ContextSize = 0,
        Limit = Limit,
        Sequences = 0,
        HasLearnedScores = false,
        Turn = ConversationTurn.None,
    };
}
