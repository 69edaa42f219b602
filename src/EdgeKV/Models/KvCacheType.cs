namespace EdgeKV.Models;

/// <summary>Element type of the cached keys and values.</summary>
public enum KvCacheType
{
    /// <summary>32-bit floats: 4 bytes per element.</summary>
    F32,

    /// <summary>16-bit floats: 2 bytes per element.</summary>
    F16,

#pragma warning disable CA1707 // the names that GGUF files and llama.cpp have for them
    /// <summary>8-bit integers in blocks of 32 with a 16-bit scale: 34 bytes per 32 elements.</summary>
    Q8_0,

    /// <summary>4-bit integers in blocks of 32 with a 16-bit scale: 18 bytes per 32 elements.</summary>
    Q4_0,
#pragma warning restore CA1707
}
