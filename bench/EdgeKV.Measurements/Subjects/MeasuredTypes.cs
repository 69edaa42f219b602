using EdgeKV.Models;

namespace EdgeKV.Measurements.Subjects;

/// <summary>Element types of K and V under the names that figures and the stock program use.</summary>
public static class MeasuredTypes
{
    /// <summary>The types that exactness is shown for.</summary>
    public static IReadOnlyList<KvCacheType> All { get; } = [KvCacheType.F16, KvCacheType.Q8_0, KvCacheType.Q4_0];

    /// <summary>For example "q8_0".</summary>
    public static string Name(this KvCacheType type) => type switch
    {
        KvCacheType.F32 => "f32",
        KvCacheType.F16 => "f16",
        KvCacheType.Q8_0 => "q8_0",
        KvCacheType.Q4_0 => "q4_0",
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "There is no such cache type."),
    };

    /// <summary>Bytes of one KV head's K row and V row of equal head sizes: f16 has 2 bytes per element, q8_0 34 and q4_0 18 per 32.</summary>
    public static long RowBytes(this KvCacheType type, int headSizeK, int headSizeV) => type switch
    {
        KvCacheType.F32 => 4L * (headSizeK + headSizeV),
        KvCacheType.F16 => 2L * (headSizeK + headSizeV),
        KvCacheType.Q8_0 => 34L * (headSizeK / 32 + headSizeV / 32),
        KvCacheType.Q4_0 => 18L * (headSizeK / 32 + headSizeV / 32),
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "There is no such cache type."),
    };
}
