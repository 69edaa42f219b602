namespace EdgeKV.Scoring;

/// <summary>The keys or values of one layer, in memory that goes back as soon as it is disposed: a layer can be a hundred megabytes.</summary>
internal sealed unsafe class LayerRows : IDisposable
{
    private readonly NativeScoreBuffer _memory;
    private readonly float* _data;
    private readonly int _tokens;
    private readonly int _kvHeads;

    /// <summary>Reads a layer.</summary>
    /// <param name="rows">The cache.</param>
    /// <param name="kind">Keys or values.</param>
    /// <param name="layer">0 to layers - 1.</param>
    /// <exception cref="PlanException">A layer is too large to be looked at whole.</exception>
    /// <exception cref="OutOfKvMemoryException">Not enough memory for it.</exception>
    public LayerRows(ICacheRows rows, RowKind kind, int layer)
    {
        HeadSize = rows.HeadSize(kind, layer);
        _tokens = rows.Tokens;
        _kvHeads = rows.KvHeads(layer);
        long length = (long)_tokens * _kvHeads * HeadSize;
        if (length > Array.MaxLength)
        {
            throw new PlanException(
                $"A layer of {_tokens} tokens x {_kvHeads} KV heads x {HeadSize} elements is too large to be read at once.");
        }

        _memory = NativeScoreBuffer.Allocate(length, out _data);
        try
        {
            rows.Read(kind, layer, new Span<float>(_data, (int)length));
        }
        catch
        {
            _memory.Dispose();
            throw;
        }
    }

    /// <summary>Elements of a row.</summary>
    public int HeadSize { get; }

    /// <summary>A token's row in a KV head.</summary>
    /// <param name="kvHead">0 to kvHeads - 1.</param>
    /// <param name="token">0 to tokens - 1.</param>
    public ReadOnlySpan<float> Row(int kvHead, int token) => Edit(kvHead, token);

    /// <summary>The same, to be written over: the rows here are a copy.</summary>
    /// <param name="kvHead">0 to kvHeads - 1.</param>
    /// <param name="token">0 to tokens - 1.</param>
    public Span<float> Edit(int kvHead, int token)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)kvHead, (uint)_kvHeads, nameof(kvHead));
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)token, (uint)_tokens, nameof(token));
        return new Span<float>(_data + ((nint)token * _kvHeads + kvHead) * HeadSize, HeadSize);
    }

    /// <summary>Gives the memory back. Rows taken before must not be read any more.</summary>
    public void Dispose() => _memory.Dispose();
}
