namespace EdgeKV;

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

    internal void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfNegative(ScoreMemory);
        ArgumentOutOfRangeException.ThrowIfNegative(Room);
        ArgumentOutOfRangeException.ThrowIfNegative(Align);
        ArgumentOutOfRangeException.ThrowIfNegative(MeasureTokens);
    }
}
