namespace EdgeKV.Native;

/// <summary><c>edgekv_attention</c>.</summary>
internal enum NativeAttention
{
    Auto = 0,
    EdgeKV = 1,
    Llama = 2,
}

/// <summary><c>edgekv_logits</c>.</summary>
internal enum NativeLogits
{
    None = 0,
    Last = 1,
    All = 2,
}

/// <summary><c>edgekv_aggregate</c>.</summary>
[Flags]
internal enum NativeAggregates : uint
{
    None = 0,
    Max = 1,
    Sum = 2,
}

/// <summary><c>edgekv_rope_pairs</c>.</summary>
internal enum NativeRopePairs
{
    Adjacent = 0,
    HalfSplit = 1,
}

/// <summary><c>edgekv_query_sum</c>.</summary>
internal enum NativeQuerySum
{
    Queries = 0,
    QueryProducts = 1,
    Keys = 2,
    RotatedQueries = 3,
    RotatedQueryProducts = 4,
}

/// <summary><c>edgekv_norm</c>.</summary>
internal enum NativeNorm
{
    Keys = 0,
    Values = 1,
}

/// <summary><c>edgekv_row</c>.</summary>
internal enum NativeRow
{
    Keys = 0,
    Values = 1,
}

/// <summary><c>edgekv_form</c>.</summary>
internal enum NativeForm
{
    Linear = 0,
    Quadratic = 1,
    Squares = 2,
}

/// <summary><c>edgekv_moment</c>.</summary>
internal enum NativeMoment
{
    First = 1,
    Second = 2,
}

/// <summary><c>edgekv_output_norm</c>.</summary>
internal enum NativeOutputNorm
{
    L1 = 0,
    L2 = 1,
}

/// <summary><c>edgekv_cache_key</c>.</summary>
internal enum NativeCacheKey
{
    Compact = 0,
    Bytes = 1,
    Rows = 2,
    Room = 3,
    ContextTokens = 4,
    RowBytes = 5,
    ContextSize = 6,
    BatchSize = 7,
    Position = 8,
    Sequences = 9,
    Changes = 10,
    Fault = 11,
    OnDevice = 12,
    TypeK = 13,
    TypeV = 14,
    Learns = 15,
}

/// <summary><c>edgekv_device_kind</c> of edgekv.h.</summary>
internal enum NativeDeviceKind
{
    Cpu = 0,
    Gpu = 1,
    IntegratedGpu = 2,
    Accelerator = 3,
}
