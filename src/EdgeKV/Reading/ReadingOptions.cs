namespace EdgeKV.Reading;

/// <summary>How a document is read whose rows are dropped meanwhile; what is kept is the policy's matter.</summary>
public sealed record ReadingOptions
{
    /// <summary>
    /// Tokens after which rows are dropped, 1 and up; 512 by default. The cache holds one chunk beside what stays. Fewer save memory and cost
    /// time, as rows are moved after every chunk.
    /// </summary>
    public int ChunkTokens { get; init; } = 512;

    /// <summary>
    /// Latest tokens that all KV heads keep until the next chunk has been read, beside the budget, 0 and up; 64 by default. What a token is
    /// worth later says little of how much the next ones need it.
    /// </summary>
    public int KeepLatest { get; init; } = 64;

    /// <summary>Rows that every KV head gets for later tokens in the end; the room grows by as many when it is full. 0 (default) = 256.</summary>
    public int Room { get; init; }

    /// <summary>Kept rows and room of every KV head are rounded up to a multiple of this; 0 (default) = what the device is fast with.</summary>
    public int Align { get; init; }

    /// <summary>
    /// Whether the kept rows' positions close up to 0 to rows - 1 after every chunk, their keys turned by the model's own RoPE, so that a document may
    /// be longer than the model's window: only the rows that stay, the latest tokens and one chunk must fit. Every KV head then keeps the best of
    /// its own rows, as many as all others. Default: false.
    /// </summary>
    public bool Rerotate { get; init; }

    internal void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(ChunkTokens, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(KeepLatest);
        ArgumentOutOfRangeException.ThrowIfNegative(Room);
        ArgumentOutOfRangeException.ThrowIfNegative(Align);
    }
}
