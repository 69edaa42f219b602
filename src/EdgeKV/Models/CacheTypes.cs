using LLama.Native;

namespace EdgeKV.Models;

/// <summary>Cache types as ggml and LLamaSharp name them.</summary>
internal static class CacheTypes
{
    /// <summary>The type of a number of ggml_type.</summary>
    /// <exception cref="UnsupportedModelException">EdgeKV does not know caches of that type.</exception>
    public static KvCacheType Of(long ggmlType) => (GGMLType)ggmlType switch
    {
        GGMLType.GGML_TYPE_F32 => KvCacheType.F32,
        GGMLType.GGML_TYPE_F16 => KvCacheType.F16,
        GGMLType.GGML_TYPE_Q8_0 => KvCacheType.Q8_0,
        GGMLType.GGML_TYPE_Q4_0 => KvCacheType.Q4_0,
        _ => throw new UnsupportedModelException($"The cache's element type is {(GGMLType)ggmlType}. Known types are F32, F16, Q8_0 and Q4_0."),
    };

    /// <summary>The type as LLamaSharp names it.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such type.</exception>
    public static GGMLType ToGgml(this KvCacheType type) => type switch
    {
        KvCacheType.F32 => GGMLType.GGML_TYPE_F32,
        KvCacheType.F16 => GGMLType.GGML_TYPE_F16,
        KvCacheType.Q8_0 => GGMLType.GGML_TYPE_Q8_0,
        KvCacheType.Q4_0 => GGMLType.GGML_TYPE_Q4_0,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Known types are F32, F16, Q8_0 and Q4_0."),
    };
}
