using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

// Every parameter below is blittable or says how it is marshalled.
[assembly: DisableRuntimeMarshalling]

namespace EdgeKV.Native;

/// <summary>
/// The declarations of edgekv.h, in its order and under its names; what they mean is said there. No logic, no checks:
/// <see cref="NativeLibraryLoader.EnsureLoaded"/> must have been called before the first one.
/// </summary>
internal static unsafe partial class NativeMethods
{
    /// <summary>The name that <see cref="NativeLibraryLoader"/> resolves.</summary>
    public const string Library = "edgekv";

    /// <summary>EDGEKV_ABI_VERSION of the header that these declarations were written from.</summary>
    public const uint AbiVersion = 8;

    // As upstream spells them, so that a reader finds them in the header.
#pragma warning disable IDE1006 // Naming styles
    [LibraryImport(Library)]
    public static partial uint edgekv_abi_version();

    [LibraryImport(Library)]
    public static partial byte* edgekv_last_error();

    [LibraryImport(Library)]
    public static partial void edgekv_log_set(delegate* unmanaged[Cdecl]<int, byte*, void*, void> fn, void* user);

    // Backends

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial NativeStatus edgekv_backends_load(string folder, string? cpu);

    [LibraryImport(Library)]
    public static partial int edgekv_device_count();

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_device_info(
        int index,
        out NativeDeviceType type,
        out ulong bytes_free,
        out ulong bytes_total,
        byte* name,
        nuint name_capacity,
        byte* description,
        nuint description_capacity);

    // Model

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial NativeStatus edgekv_model_load(
        string path,
        int n_gpu_layers,
        [MarshalAs(UnmanagedType.U1)] bool use_mmap,
        delegate* unmanaged[Cdecl]<float, void*, byte> progress,
        void* user,
        out nint model);

    [LibraryImport(Library)]
    public static partial void edgekv_model_free(nint model);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_model_get(ModelHandle model, NativeModelKey key, out long value);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_model_supported(ModelHandle model);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial NativeStatus edgekv_model_text(ModelHandle model, string? key, byte* text, nuint capacity, out nuint length);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_tokenize(
        ModelHandle model,
        byte* text,
        nuint text_bytes,
        [MarshalAs(UnmanagedType.U1)] bool add_special,
        [MarshalAs(UnmanagedType.U1)] bool parse_special,
        int* tokens,
        int capacity,
        out int count);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_token_text(
        ModelHandle model,
        int token,
        [MarshalAs(UnmanagedType.U1)] bool special,
        byte* text,
        nuint capacity,
        out nuint length);

    [LibraryImport(Library)]
    [return: MarshalAs(UnmanagedType.U1)]
    public static partial bool edgekv_token_is_end(ModelHandle model, int token);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_chat_text(
        ModelHandle model,
        byte** roles,
        byte** contents,
        nuint n,
        [MarshalAs(UnmanagedType.U1)] bool add_assistant,
        byte* text,
        nuint capacity,
        out nuint length);

    // Context

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_context_create(
        ModelHandle model,
        uint n_ctx,
        uint n_batch,
        NativeType type,
        int n_threads,
        [MarshalAs(UnmanagedType.U1)] bool offload_kv,
        out nint context);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_context_attach(nint llama_context, out nint context);

    [LibraryImport(Library)]
    public static partial void edgekv_context_free(nint context);

    [LibraryImport(Library)]
    public static partial nint edgekv_context_llama(ContextHandle context);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_positions_set(ContextHandle context, uint n_positions);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_threads_set(ContextHandle context, int n_threads);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_attention_set(ContextHandle context, NativeAttention kernel);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_decode(
        ContextHandle context,
        int* tokens,
        int n_tokens,
        NativeLogits logits,
        delegate* unmanaged[Cdecl]<float, void*, byte> progress,
        void* user);

    [LibraryImport(Library)]
    public static partial void edgekv_interrupt(ContextHandle context);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_logits(ContextHandle context, int index, out float* logits);

    [LibraryImport(Library)]
    public static partial int edgekv_position(ContextHandle context);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_rollback(ContextHandle context, int position);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_clear(ContextHandle context);

    // Scores

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_scores_create(ContextHandle context, int n_context, NativeAggregates aggregates, out nint scores);

    [LibraryImport(Library)]
    public static partial void edgekv_scores_free(nint scores);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_scores_see(ScoresHandle scores, int* ranges, nuint n_ranges);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_score(
        ContextHandle context,
        ScoresHandle scores,
        int* tokens,
        int n_tokens,
        ulong bytes_max,
        delegate* unmanaged[Cdecl]<float, void*, byte> progress,
        void* user);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_score_end(ContextHandle context);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_eviction_errors(
        ContextHandle context,
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
    public static partial NativeStatus edgekv_norms(ContextHandle context, NativeNorm which, int n_context, float* norms, nuint count);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_score_map_create(ModelHandle model, float* weights, nuint count, out nint map);

    [LibraryImport(Library)]
    public static partial void edgekv_score_map_free(nint map);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_score_map_set(ContextHandle context, ScoreMapHandle map);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_learned_scores(ContextHandle context, int first, int n, float* scores, nuint count);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_inputs_keep(ContextHandle context, [MarshalAs(UnmanagedType.U1)] bool keep);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_inputs(ContextHandle context, int layer, float* inputs, nuint count);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_queries_keep(ContextHandle context, [MarshalAs(UnmanagedType.U1)] bool keep, int first);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_queries(ContextHandle context, NativeQuerySum which, int layer, double* sums, nuint count);

    [LibraryImport(Library)]
    public static partial long edgekv_queries_count(ContextHandle context);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_blocks_keep(ContextHandle context, int block);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_blocks(ContextHandle context, int layer, float* sums, nuint count);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_rope(
        ContextHandle context,
        int layer,
        out NativeRopePairs pairs,
        double* frequencies,
        nuint capacity,
        out nuint n,
        out double scale);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_rows(
        ContextHandle context,
        NativeRow which,
        int layer,
        int first,
        int n,
        float* rows,
        nuint count);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_row_forms(
        ContextHandle context,
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
        ContextHandle context,
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
        ContextHandle context,
        NativeOutputNorm kind,
        int n_context,
        float* norms,
        nuint count);

    // Plan

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_merge(
        ContextHandle context,
        int layer,
        int head,
        int* dropped,
        int* kept,
        float* weights,
        nuint n);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_apply(
        ContextHandle context,
        int* counts,
        nuint n_counts,
        int* positions,
        nuint n_positions,
        uint room,
        uint align);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_rerotate(ContextHandle context);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_cache_get(ContextHandle context, NativeCacheKey key, out long value);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_cache_rows(ContextHandle context, int* rows, int* room, nuint count);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_cache_positions(ContextHandle context, int layer, int head, int* positions, nuint capacity);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial NativeStatus edgekv_state_save(ContextHandle context, string path, int* tokens, nuint n_tokens);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial NativeStatus edgekv_state_load(ContextHandle context, string path, int* tokens, nuint capacity, out nuint n_tokens);

    // Sampling

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_sampler_create(float temperature, int top_k, float top_p, float min_p, uint seed, out nint sampler);

    [LibraryImport(Library)]
    public static partial void edgekv_sampler_free(nint sampler);

    [LibraryImport(Library)]
    public static partial NativeStatus edgekv_sampler_sample(SamplerHandle sampler, ContextHandle context, out int token);
#pragma warning restore IDE1006
}
