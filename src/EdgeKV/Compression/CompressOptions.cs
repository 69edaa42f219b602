namespace EdgeKV.Compression;

/// <summary>How a compression is carried out; what is kept is the policy's matter.</summary>
public sealed record CompressOptions
{
    /// <summary>Bytes of attention weights that a score pass may hold at one time; 0 (default) = 64 MiB. Less memory makes it slower.</summary>
    public long ScoreMemory { get; init; }

    /// <summary>Rows that every KV head gets for later tokens; the room grows by as many when it is full. 0 (default) = 256.</summary>
    public int Room { get; init; }

    /// <summary>Kept rows and room of every KV head are rounded up to a multiple of this; 0 (default) = what the device is fast with.</summary>
    public int Align { get; init; }

    /// <summary>
    /// Decode steps that are timed before and after, and taken back; 0 (default) = the speed is not measured.
    /// </summary>
    public int MeasureTokens { get; init; }

    /// <summary>
    /// Whether the kept rows' positions close up to 0 to rows - 1 afterwards, each key turned from its old position to its new one by the model's own
    /// RoPE; the next token gets the position rows. For plans whose KV heads all keep equally many rows, in all layers. Quantized keys are
    /// rounded once more. Default: false, rows stay where they are.
    /// </summary>
    public bool Rerotate { get; init; }

    /// <summary>
    /// Whether the value of every dropped row goes into the kept row of its head whose key is most like its own, before the cache is rewritten
    /// (NVIDIA/kvpress, merging_press): with c their cosine, if above 0, it weighs c ||v|| / (||v|| + ||v_kept||), and the kept value is divided by 1 + the
    /// weights. Keys stay. Takes dropped rows x kept rows x head size multiplications for every KV head. Once values are rewritten, a
    /// failure leaves the session of no more use. Default: false.
    /// </summary>
    public bool Merge { get; init; }

    internal void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfNegative(ScoreMemory);
        ArgumentOutOfRangeException.ThrowIfNegative(Room);
        ArgumentOutOfRangeException.ThrowIfNegative(Align);
        ArgumentOutOfRangeException.ThrowIfNegative(MeasureTokens);
    }
}
