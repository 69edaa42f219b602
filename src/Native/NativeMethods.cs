using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using LLama.Native;

// Every parameter below is blittable or says how it is marshalled.
[assembly: DisableRuntimeMarshalling]

namespace EdgeKV.Native;

/// <summary>
/// The declarations of edgekv.h, in its order and under its names. The header says what they mean. There is no logic and no check here:
/// <see cref="Loading.EdgeKVLibrary"/> must have been loaded before the first call.
/// </summary>
internal static unsafe partial class NativeMethods
{
    /// <summary>The name that <see cref="Loading.EdgeKVLibrary"/> resolves.</summary>
    public const string Library = "edgekv";

    /// <summary>EDGEKV_ABI_VERSION of the header that these declarations were written from.</summary>
    public const uint AbiVersion = 12;

    // As upstream spells them, so that a reader finds them in the header.
#pragma warning disable IDE1006 // Naming styles
    [LibraryImport(Library)]
    public static partial uint edgekv_abi_version();

    [LibraryImport(Library)]
    public static partial byte* edgekv_last_error();

    [LibraryImport(Library)]
    public static partial byte* edgekv_log_error();

    [LibraryImport(Library)]
    public static partial void edgekv_log_error_clear();

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial byte* edgekv_load_error(string path);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_cache_fits(
        SafeLlamaModelHandle model, uint n_ctx, int type_k, int type_v, [MarshalAs(UnmanagedType.U1)] bool offload_kv);

    // Backends

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial NativeStatus edgekv_backends_load(string folder, string? cpu);

    // Devices

    [LibraryImport(Library)]
    public static partial nuint edgekv_device_count();

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_device_get(nuint index, out NativeDevice device);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial NativeStatus edgekv_fit(
        string path, byte** devices, uint n_ctx, uint n_batch, int type_k, int type_v, ulong spare, out int n_gpu_layers);

    // Model

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_model_supported(SafeLlamaModelHandle model);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_model_layers(SafeLlamaModelHandle model, int* layers, nuint capacity, out nuint n);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_model_path(SafeLlamaModelHandle model, byte* path, nuint capacity, out nuint length);

    // Context

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_attach(SafeLLamaContextHandle context);

    [LibraryImport(Library)]
    [return: MarshalAs(UnmanagedType.U1)]
    public static partial bool edgekv_attached(SafeLLamaContextHandle context);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_lock(SafeLLamaContextHandle context, int wait_ms);

    // Also for a context that was disposed meanwhile: whoever unlocks it holds a reference.
    [LibraryImport(Library)]
    public static partial void edgekv_unlock(nint context);

    [LibraryImport(Library)]
    public static partial void edgekv_lock_guest(SafeLLamaContextHandle context, [MarshalAs(UnmanagedType.U1)] bool guest);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_positions_set(SafeLLamaContextHandle context, uint n_positions);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_attention_set(SafeLLamaContextHandle context, NativeAttention kernel);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_decode(
        SafeLLamaContextHandle context,
        int* tokens,
        int n_tokens,
        NativeLogits logits,
        delegate* unmanaged[Cdecl]<float, void*, byte> progress,
        void* user);

    [LibraryImport(Library)]
    public static partial void edgekv_interrupt(SafeLLamaContextHandle context);

    [LibraryImport(Library)]
    public static partial void edgekv_interrupt_reset(SafeLLamaContextHandle context);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_outputs_keep(SafeLLamaContextHandle context);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_outputs_restore(SafeLLamaContextHandle context);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_rollback(SafeLLamaContextHandle context, int position);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_clear(SafeLLamaContextHandle context);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial NativeStatus edgekv_fail(SafeLLamaContextHandle context, string reason);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_tokens(SafeLLamaContextHandle context, int first, int n, int* tokens);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_tokens_set(SafeLLamaContextHandle context, int first, int n, int* tokens);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_learned_set(
        SafeLLamaContextHandle context, int first, int n, byte* known, float* scores, nuint count);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_learned_known(SafeLLamaContextHandle context, int first, int n, byte* known);

    // Scores

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_scores_create(SafeLLamaContextHandle context, int n_context, NativeAggregates aggregates, out nint scores);

    [LibraryImport(Library)]
    public static partial void edgekv_scores_free(nint scores);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_scores_see(ScoresHandle scores, int* ranges, nuint n_ranges);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_score(
        SafeLLamaContextHandle context,
        ScoresHandle scores,
        int* tokens,
        int n_tokens,
        ulong bytes_max,
        delegate* unmanaged[Cdecl]<float, void*, byte> progress,
        void* user);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_score_end(SafeLLamaContextHandle context);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_eviction_errors(
        SafeLLamaContextHandle context,
        int n_context,
        int* counts,
        int* positions,
        nuint n_positions,
        int* tokens,
        int n_tokens,
        double epsilon,
        double* errors,
        nuint count,
        delegate* unmanaged[Cdecl]<float, void*, byte> progress,
        void* user);

    [LibraryImport(Library)]
    public static partial float* edgekv_scores_data(ScoresHandle scores, NativeAggregates aggregate);

    [LibraryImport(Library)]
    public static partial long edgekv_scores_queries(ScoresHandle scores);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_norms(SafeLLamaContextHandle context, NativeNorm which, int n_context, float* norms, nuint count);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_score_map_create(SafeLlamaModelHandle model, float* weights, nuint count, out nint map);

    [LibraryImport(Library)]
    public static partial void edgekv_score_map_free(nint map);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_score_map_set(SafeLLamaContextHandle context, ScoreMapHandle map);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_learned_scores(SafeLLamaContextHandle context, int first, int n, float* scores, nuint count);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_inputs_keep(SafeLLamaContextHandle context, [MarshalAs(UnmanagedType.U1)] bool keep);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_inputs(SafeLLamaContextHandle context, int layer, float* inputs, nuint count);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_queries_keep(SafeLLamaContextHandle context, [MarshalAs(UnmanagedType.U1)] bool keep, int first);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_queries(SafeLLamaContextHandle context, NativeQuerySum which, int layer, double* sums, nuint count);

    [LibraryImport(Library)]
    public static partial long edgekv_queries_count(SafeLLamaContextHandle context);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_blocks_keep(SafeLLamaContextHandle context, int block);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_blocks(SafeLLamaContextHandle context, int layer, float* sums, nuint count);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_rope(
        SafeLLamaContextHandle context,
        int layer,
        out NativeRopePairs pairs,
        double* frequencies,
        nuint capacity,
        out nuint n,
        out double scale);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_rows(
        SafeLLamaContextHandle context,
        NativeRow which,
        int layer,
        int first,
        int n,
        float* rows,
        nuint count);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_row_forms(
        SafeLLamaContextHandle context,
        NativeRow which,
        int layer,
        NativeForm form,
        int n_context,
        int n_forms,
        float* factors,
        nuint n_factors,
        float* results,
        nuint count);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_row_moments(
        SafeLLamaContextHandle context,
        NativeRow which,
        int layer,
        NativeMoment moment,
        int n_context,
        int n_sums,
        float* weights,
        nuint n_weights,
        double* sums,
        nuint count);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_output_norms(
        SafeLLamaContextHandle context,
        NativeOutputNorm kind,
        int n_context,
        float* norms,
        nuint count);

    // Plan

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_merge(
        SafeLLamaContextHandle context,
        int layer,
        int head,
        int* dropped,
        int* kept,
        float* weights,
        nuint n);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_apply(
        SafeLLamaContextHandle context,
        int* counts,
        nuint n_counts,
        int* positions,
        nuint n_positions,
        uint room,
        uint align);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_rerotate(SafeLLamaContextHandle context);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_cache_get(SafeLLamaContextHandle context, NativeCacheKey key, out long value);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_cache_rows(SafeLLamaContextHandle context, int* rows, int* room, nuint count);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_cache_positions(SafeLLamaContextHandle context, int layer, int head, int* positions, nuint capacity);
#pragma warning restore IDE1006
}
