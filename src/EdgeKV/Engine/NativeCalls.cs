using EdgeKV.Native;
using LLama.Native;

namespace EdgeKV.Engine;

/// <summary>A call of EdgeKV's library that can take long: it is made by <see cref="NativeContext.Run{TCall}"/>, which can interrupt it. Allocates nothing.</summary>
internal unsafe interface INativeCall
{
    /// <summary>The name of the function, for errors.</summary>
    string Function { get; }

    /// <summary>Makes the call.</summary>
    NativeStatus Invoke(SafeLLamaContextHandle context, delegate* unmanaged[Cdecl]<float, void*, byte> progress, void* user);
}

/// <summary>Feeds tokens at the next positions.</summary>
internal readonly unsafe struct DecodeCall(int* tokens, int count, NativeLogits logits) : INativeCall
{
    public string Function => nameof(NativeMethods.edgekv_decode);

    public NativeStatus Invoke(SafeLLamaContextHandle context, delegate* unmanaged[Cdecl]<float, void*, byte> progress, void* user) =>
        NativeMethods.edgekv_decode(context, tokens, count, logits, progress, user);
}

/// <summary>Feeds tokens and adds the attention that they pay to scores.</summary>
internal readonly unsafe struct ScoreCall(ScoresHandle scores, int* tokens, int count, ulong memory) : INativeCall
{
    public string Function => nameof(NativeMethods.edgekv_score);

    public NativeStatus Invoke(SafeLLamaContextHandle context, delegate* unmanaged[Cdecl]<float, void*, byte> progress, void* user) =>
        NativeMethods.edgekv_score(context, scores, tokens, count, memory, progress, user);
}

/// <summary>Rewrites the cache so that a plan's rows stay.</summary>
internal readonly unsafe struct ApplyCall(int* counts, int countsLength, int* positions, int positionsLength, int room, int align) : INativeCall
{
    public string Function => nameof(NativeMethods.edgekv_apply);

    public NativeStatus Invoke(SafeLLamaContextHandle context, delegate* unmanaged[Cdecl]<float, void*, byte> progress, void* user) =>
        NativeMethods.edgekv_apply(context, counts, (nuint)countsLength, positions, (nuint)positionsLength, (uint)room, (uint)align);
}

/// <summary>Feeds tokens and sums what each layer's output would lose if it kept few rows.</summary>
internal readonly unsafe struct EvictionErrorsCall(
    int context, int* counts, int* positions, int positionsLength, int* tokens, int count, double epsilon, double* errors, int layers) : INativeCall
{
    public string Function => nameof(NativeMethods.edgekv_eviction_errors);

    public NativeStatus Invoke(SafeLLamaContextHandle handle, delegate* unmanaged[Cdecl]<float, void*, byte> progress, void* user) =>
        NativeMethods.edgekv_eviction_errors(
            handle, context, counts, positions, (nuint)positionsLength, tokens, count, epsilon, errors, (nuint)layers, progress, user);
}
