using EdgeKV.Native;

namespace EdgeKV.Engine;

/// <summary>
/// What computes attention over a compact cache in host memory, one token at a time. Everywhere else llama.cpp's kernels do.
/// docs/internals/native.md says why.
/// </summary>
public enum AttentionKernel
{
    /// <summary>
    /// <see cref="EdgeKV"/> for F32 and F16 caches, <see cref="LlamaCpp"/> for quantized ones, where any other order of summation shows in
    /// the answers.
    /// </summary>
    Auto = NativeAttention.Auto,

    /// <summary>EdgeKV's own, for every cache type: faster, and it sums in 32 bits. llama.cpp's on a CPU without AVX2.</summary>
    EdgeKV = NativeAttention.EdgeKV,

    /// <summary>llama.cpp's: with every row kept and one thread, its logits to the last bit.</summary>
    LlamaCpp = NativeAttention.Llama,
}
