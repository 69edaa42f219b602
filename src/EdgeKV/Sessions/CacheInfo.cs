namespace EdgeKV.Sessions;

/// <summary>The KV cache of a session at one moment.</summary>
/// <param name="IsCompact">Whether it has been compressed; else it is full, in llama.cpp's own layout.</param>
/// <param name="Bytes">Bytes of the buffers that hold keys and values, as the backends report them.</param>
/// <param name="Rows">Kept rows over all layers and KV heads; 0 when full.</param>
/// <param name="Room">Rows that every KV head has for later tokens; for a full cache its cells, used or not.</param>
/// <param name="ContextTokens">Tokens that the kept rows stand for; 0 when full.</param>
/// <param name="RowBytes">Bytes of a KV head's key and value of one token.</param>
/// <param name="ContextSize">Cells of the full cache that the session was made with.</param>
/// <param name="Position">Tokens that were fed and not taken back.</param>
public sealed record CacheInfo(
    bool IsCompact,
    long Bytes,
    long Rows,
    int Room,
    int ContextTokens,
    long RowBytes,
    int ContextSize,
    int Position);
