namespace EdgeKV.Engine;

/// <summary>How a context's KV cache is laid out.</summary>
public enum CacheLayout
{
    /// <summary>llama.cpp's own layout: every token has a row in every KV head.</summary>
    Full,

    /// <summary>After compression: every KV head has its own kept rows and room for later tokens.</summary>
    Compact,
}
