// EdgeKV: a flat C API over llama.cpp that scores, rewrites and decodes over a compact KV cache.
//
// Conventions
//   - Every function that can fail returns an edgekv_status; 0 is success. What went wrong is in edgekv_last_error(),
//     one sentence per thread, valid until that thread's next call.
//   - On failure out parameters are left as they were and nothing else has changed, unless a function says otherwise.
//   - Contexts and models are llama.cpp's own, made and freed by whoever owns them (LLamaSharp, say). What EdgeKV knows about a context belongs to the
//     context: edgekv_attach() makes it, llama_free() frees it.
//   - Every call on a context takes that context's lock, and so do llama_decode, llama_encode, llama_memory_* and llama_state_* on an attached context. A call that
//     finds the lock taken waits. edgekv_interrupt() takes no lock.
//   - llama_free() waits for the lock too. An edgekv_* call that still waits when the context goes answers EDGEKV_E_STATE; llama.cpp's own calls must not wait then, nor may
//     any call begin.
//   - A context that failed (edgekv_cache_get, EDGEKV_CACHE_FAULT) answers EDGEKV_E_STATE with the reason until edgekv_clear() or llama_memory_clear().
//   - Positions are token positions in the sequence, 0-based. Layers, heads and KV heads are 0-based.
//   - Strings are UTF-8.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#    if defined(EDGEKV_BUILD)
#        define EDGEKV_API __declspec(dllexport)
#    else
#        define EDGEKV_API __declspec(dllimport)
#    endif
#else
#    define EDGEKV_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

// Raised with every change of a signature, an enum value or a meaning below.
#define EDGEKV_ABI_VERSION 12

enum edgekv_status {
    EDGEKV_OK            = 0,
    EDGEKV_E_ARGUMENT    = 1,  // an argument is out of its range
    EDGEKV_E_STATE       = 2,  // not possible in the state that the object is in
    EDGEKV_E_BACKEND     = 3,  // no usable ggml backend
    EDGEKV_E_MODEL       = 4,  // the model file is missing, damaged or not readable
    EDGEKV_E_UNSUPPORTED = 5,  // the model or its cache is of a kind that cannot be made compact
    EDGEKV_E_MEMORY      = 6,  // not enough memory on the host or on the device
    EDGEKV_E_WINDOW      = 7,  // more tokens than the model's window or the context can hold
    EDGEKV_E_PLAN        = 8,  // the plan does not fit the cache
    EDGEKV_E_CANCELLED   = 9,  // a progress callback or edgekv_interrupt() asked to stop
    EDGEKV_E_IO          = 10, // a file could not be read or written
    EDGEKV_E_INTERNAL    = 11, // llama.cpp failed; the message has its words
    EDGEKV_E_BUSY        = 12, // another thread holds the context's lock, and the caller did not want to wait that long
};

struct llama_context;
struct llama_model;

typedef struct edgekv_scores    edgekv_scores;
typedef struct edgekv_score_map edgekv_score_map;

// Called between the steps of long work with the share done, 0 to 1. Returning false stops the work: EDGEKV_E_CANCELLED.
typedef bool (*edgekv_progress_fn)(float share, void * user);

EDGEKV_API uint32_t edgekv_abi_version(void);

EDGEKV_API const char * edgekv_last_error(void);

// The first error line that ggml or llama.cpp logged on this thread since the last edgekv_log_error_clear(), "" when there was none: what LLamaSharp's exceptions leave out.
EDGEKV_API const char * edgekv_log_error(void);
EDGEKV_API void         edgekv_log_error_clear(void);

// Why the last load of a model file failed, on whatever thread; "" when it did not. Valid until the thread's next call.
EDGEKV_API const char * edgekv_load_error(const char * path);

// EDGEKV_OK when the memory for a full cache of n_ctx cells is there; type_k, type_v: of ggml_type. EDGEKV_E_MEMORY with what is needed and left, EDGEKV_E_UNSUPPORTED when heads of this size cannot be
// kept in the type.
EDGEKV_API int32_t edgekv_cache_fits(const struct llama_model * model, uint32_t n_ctx, int32_t type_k, int32_t type_v, bool offload_kv);

//
// Backends
//

// Loads the CPU backend and every GPU backend that lie in folder as plug-ins; must come before the first model. Further calls do nothing, and nothing is loaded where ggml has
// its backends linked in. cpu: the name of a CPU variant ("haswell", "zen4", ...), or NULL for the best one that this machine can run, AMX variants left out.
EDGEKV_API int32_t edgekv_backends_load(const char * folder, const char * cpu);

//
// Devices
//

enum edgekv_device_kind {
    EDGEKV_DEVICE_CPU            = 0,
    EDGEKV_DEVICE_GPU            = 1, // with memory of its own
    EDGEKV_DEVICE_INTEGRATED_GPU = 2, // with the host's memory
    EDGEKV_DEVICE_ACCELERATOR    = 3, // helps the CPU
};

// Texts stay valid as long as the library is loaded, but for features: until the thread's next call.
typedef struct edgekv_device {
    const char * name;        // "CUDA0": what llama.cpp's options call it
    const char * description; // "NVIDIA GeForce RTX 4090"
    const char * backend;     // "CUDA"
    const char * features;    // what the backend was built to use, "AVX2 FMA", a space between each; "" when it does not say
    int32_t      kind;        // edgekv_device_kind
    uint64_t     memory_free; // bytes; both 0 when the backend does not say
    uint64_t     memory_total;
} edgekv_device;

EDGEKV_API size_t edgekv_device_count(void);

// index: below edgekv_device_count().
EDGEKV_API int32_t edgekv_device_get(size_t index, edgekv_device * device);

// Finds how many of a model's layers fit on its GPUs together with their share of the cache and what a batch computes in. The model is loaded without its weights for every
// number that is tried.
//   path           a GGUF file
//   devices        names as in edgekv_device, ended by NULL; NULL: those that llama.cpp would take
//   n_ctx, n_batch cells of the cache, at most the model's window counts, and tokens of a batch
//   type_k, type_v of ggml_type
//   spare          bytes that stay free on every device
//   n_gpu_layers   how many fit, the output layer counted as one; 0 when none does or there is no GPU
// EDGEKV_E_MODEL when the file cannot be loaded, EDGEKV_E_ARGUMENT for a device that is not there.
EDGEKV_API int32_t edgekv_fit(const char * path, const char * const * devices, uint32_t n_ctx, uint32_t n_batch, int32_t type_k,
                              int32_t type_v, uint64_t spare, int32_t * n_gpu_layers);

//
// Model
//

// EDGEKV_OK when caches of this model can be made compact; else EDGEKV_E_UNSUPPORTED and the reason in edgekv_last_error().
EDGEKV_API int32_t edgekv_model_supported(const struct llama_model * model);

// The attention layers that keep rows in the KV cache, ascending, five numbers each: layer of the model, attention heads, KV heads, elements of a key and of a value of one
// KV head. *n: layers. With capacity (in layers) too small nothing is written but *n, and EDGEKV_E_ARGUMENT returned. "Layers" and "n_layer" below are these layers, counted
// from 0; arrays over heads or KV heads lie layer after layer, each layer with as many as it has.
EDGEKV_API int32_t edgekv_model_layers(const struct llama_model * model, int32_t * layers, size_t capacity, size_t * n);

// The file that the model was loaded from, as llama_model_load_from_file was given it. *length: bytes without the terminating zero; the text is cut to capacity.
// EDGEKV_E_STATE when it was loaded another way.
EDGEKV_API int32_t edgekv_model_path(const struct llama_model * model, char * path, size_t capacity, size_t * length);

//
// Context
//

// Makes EdgeKV know the context: from here on its library records token ids (and learned scores, edgekv_score_map_set) of every batch that is decoded, and its cache can be made
// compact. A second call does nothing. Chains the abort callback that the context has. EDGEKV_E_UNSUPPORTED with the reason when the cache cannot be made compact (several
// streams, no flash attention, the model's kind). No other thread may be using the context: it has its lock only from here on.
EDGEKV_API int32_t edgekv_attach(struct llama_context * context);

EDGEKV_API bool edgekv_attached(const struct llama_context * context);

// Takes the context's lock for the calling thread, which may do so several times; work of several calls that nobody may come between is done under it.
// wait_ms < 0: waits. EDGEKV_E_BUSY when it could not be had in that time. Contexts on devices share one lock, as ggml's device backends are not to be used by two threads.
// To be let go of before the context is freed.
EDGEKV_API int32_t edgekv_lock(struct llama_context * context, int32_t wait_ms);
EDGEKV_API void    edgekv_unlock(struct llama_context * context);

// The calling thread acts for the thread that holds the context's lock, which waits for it: until guest == false its calls on this context take no lock. For worker threads of
// a parallel loop whose calls the caller serializes.
EDGEKV_API void edgekv_lock_guest(struct llama_context * context, bool guest);

// Positions that the context will come to have, where a compact cache makes them more than n_ctx, which is what is taken else: models with
// RoPE factors for short and for long contexts choose by it. Up to the model's window; the cache must be empty.
EDGEKV_API int32_t edgekv_positions_set(struct llama_context * context, uint32_t n_positions);

// What computes the attention of single tokens over a compact cache in host memory; everything else is llama.cpp's kernels' work.
enum edgekv_attention {
    EDGEKV_ATTENTION_AUTO =
        0, // the default: EDGEKV for f32 and f16. A quantized cache makes any other order of sums visible, so LLAMA for those
    EDGEKV_ATTENTION_EDGEKV = 1, // faster, sums in f32; needs a CPU with AVX2, LLAMA elsewhere
    EDGEKV_ATTENTION_LLAMA  = 2, // llama.cpp's kernels: with every row kept and one thread, its logits to the last bit
};

EDGEKV_API int32_t edgekv_attention_set(struct llama_context * context, int32_t kernel);

enum edgekv_logits {
    EDGEKV_LOGITS_NONE = 0,
    EDGEKV_LOGITS_LAST = 1, // of the last token
    EDGEKV_LOGITS_ALL  = 2, // of every token; n_tokens must not be above n_batch
};

// Feeds tokens at the next positions. On any failure, cancellation among them, all tokens of this call are taken back.
// A compact cache grows when its room is full. Logits are read with llama_get_logits_ith().
EDGEKV_API int32_t edgekv_decode(struct llama_context * context, const int32_t * tokens, int32_t n_tokens, int32_t logits,
                                 edgekv_progress_fn progress, void * user);

// Asks the call that is running in this context, or the next one, to stop: EDGEKV_E_CANCELLED, or 2 from llama_decode. Any thread. On the CPU within one
// operation of the graph, on other devices within one batch. Needs an attached context; does nothing else.
EDGEKV_API void edgekv_interrupt(struct llama_context * context);

// Takes back an interrupt that found nothing to stop.
EDGEKV_API void edgekv_interrupt_reset(struct llama_context * context);

// Keeps the outputs (logits and embeddings) of the last decode aside, so that a pass over other tokens does not lose what the caller has not read yet. restore == true puts them
// back and makes llama_get_logits_ith() answer as before. One level.
EDGEKV_API int32_t edgekv_outputs_keep(struct llama_context * context);
EDGEKV_API int32_t edgekv_outputs_restore(struct llama_context * context);

// Takes back every token at position and after. Rows that compaction kept cannot be taken back: EDGEKV_E_STATE, nothing changed.
EDGEKV_API int32_t edgekv_rollback(struct llama_context * context, int32_t position);

// Empties the cache, which becomes full again; where memory for that is not to be had it stays compact, with no kept rows. Ends a failed state.
EDGEKV_API int32_t edgekv_clear(struct llama_context * context);

// For whoever finds that the cache is not what it should be: the context failed from here on, for that reason. A context that failed already keeps its first reason.
EDGEKV_API int32_t edgekv_fail(struct llama_context * context, const char * reason);

// The token ids at positions first .. first + n - 1 of the one sequence that the cache holds; -1 where the id is unknown: read before the attach, loaded from a state, given as
// embeddings, or kept rows whose positions were closed up (edgekv_rerotate).
EDGEKV_API int32_t edgekv_tokens(struct llama_context * context, int32_t first, int32_t n, int32_t * tokens);

// For whoever loaded a state and knows what was in it: gives ids to positions whose rows are there.
EDGEKV_API int32_t edgekv_tokens_set(struct llama_context * context, int32_t first, int32_t n, const int32_t * tokens);

// The same for learned scores, [n_layer, n_head_kv, n] f32 (count elements); known [n], 0 or 1. edgekv_learned_known writes which positions have scores.
EDGEKV_API int32_t edgekv_learned_set(struct llama_context * context, int32_t first, int32_t n, const uint8_t * known, const float * scores,
                                      size_t count);
EDGEKV_API int32_t edgekv_learned_known(struct llama_context * context, int32_t first, int32_t n, uint8_t * known);

//
// Scores
//

enum edgekv_aggregate {
    EDGEKV_AGGREGATE_MAX = 1,
    EDGEKV_AGGREGATE_SUM = 2,
};

// Attention weights of score passes over the first n_context positions, aggregated per attention head over the pass's queries: softmax over
// all that a query sees, only the columns of the context kept and not renormalised (KVCompose, arXiv 2509.05165). aggregates: bits of
// edgekv_aggregate. Arrays [n_layer, n_head, n_context] f32, zero until the first pass.
EDGEKV_API int32_t edgekv_scores_create(struct llama_context * context, int32_t n_context, uint32_t aggregates, edgekv_scores ** out);

// May come after its context's end.
EDGEKV_API void edgekv_scores_free(edgekv_scores * scores);

// What queries of later edgekv_score calls are scored over: of the first n_context positions only those in the ranges, 2 * n_ranges numbers, first and
// end of each, ascending and apart, and every token fed after them up to the query itself. Their softmax is over these alone, as in KVzip (arXiv
// 2505.23416); the other positions get nothing. What a layer hands on is not changed: every query attends to the whole cache. ranges == NULL: to be
// scored over everything, the default, which costs nothing. Tokens of the call itself are seen wherever their positions lie.
EDGEKV_API int32_t edgekv_scores_see(edgekv_scores * scores, const int32_t * ranges, size_t n_ranges);

// Feeds tokens as edgekv_decode does and adds each one's attention to scores. The tokens stay in the cache: a window pass wants them there,
// after a task pass the caller rolls back. Needs a full cache. bytes_max bounds the attention weights that are held at one time by
// feeding fewer tokens at once; 0 = 64 MiB. The last token's logits are there afterwards. On failure the tokens are taken back, the scores are not.
EDGEKV_API int32_t edgekv_score(struct llama_context * context, edgekv_scores * scores, const int32_t * tokens, int32_t n_tokens,
                                uint64_t bytes_max, edgekv_progress_fn progress, void * user);

// Frees the memory that score passes left in the scheduler. Called by edgekv_apply.
EDGEKV_API int32_t edgekv_score_end(struct llama_context * context);

// What layers would lose if they kept few rows (CompressKV, arXiv 2508.02401, equations 8-12). Feeds tokens as edgekv_decode does; they stay. For each token and layer
// the attention after the output matrix is computed twice from the same query: O_f over all rows, O_c over the rows at the layer's given positions and every
// one from n_context on. What the layer hands on is O_f.
//   counts     [n_layer], given positions of each layer, 0 and up
//   positions  for each layer in that order, counts[] positions, ascending, below n_context, which is at most EDGEKV_CACHE_POSITION
//   errors     [n_layer] (count), set to the sum over the tokens of ||O_c - O_f|| / (||O_f|| + epsilon), epsilon > 0
// Needs a full cache of f32 or f16. The last token's logits are there afterwards. EDGEKV_E_UNSUPPORTED for models with something between the heads and the output matrix.
EDGEKV_API int32_t edgekv_eviction_errors(struct llama_context * context, int32_t n_context, const int32_t * counts,
                                          const int32_t * positions, size_t n_positions, const int32_t * tokens, int32_t n_tokens,
                                          double epsilon, double * errors, size_t count, edgekv_progress_fn progress, void * user);

// The array of one aggregate, [n_layer, n_head, n_context]; NULL when it was not asked for. Valid as long as scores.
EDGEKV_API const float * edgekv_scores_data(const edgekv_scores * scores, int32_t aggregate);

// Queries seen so far: what turns a sum into a mean.
EDGEKV_API int64_t edgekv_scores_queries(const edgekv_scores * scores);

// Learned scores: y = W_l x + b_l per layer, x being what the layer's attention is given, one score per KV head. They come with the prefill.
// weights [n_layer][n_embd + 1][n_head_kv], the bias last; copied to where the layers lie. The model must outlive the map and its contexts.
EDGEKV_API int32_t edgekv_score_map_create(const struct llama_model * model, const float * weights, size_t count, edgekv_score_map ** out);

// Contexts that use it go on using it.
EDGEKV_API void edgekv_score_map_free(edgekv_score_map * map);

// From here on every token is scored as it is decoded, whoever decodes it; NULL: none, which costs nothing. Tokens that the cache holds already stay without scores. EDGEKV_E_UNSUPPORTED
// for models whose graph does not name the input of every layer's attention.
EDGEKV_API int32_t edgekv_score_map_set(struct llama_context * context, const edgekv_score_map * map);

// Scores of positions first .. first + n - 1, [n_layer, n_head_kv, n] (count elements). EDGEKV_E_STATE when some are not known (edgekv_learned_known). Over a compact cache
// the scores of positions before EDGEKV_CACHE_N_CONTEXT stay known, also of rows that were dropped.
EDGEKV_API int32_t edgekv_learned_scores(struct llama_context * context, int32_t first, int32_t n, float * scores, size_t count);

// What maps are learned from: keep == true keeps what every layer's attention is given, of one batch at a time; false costs nothing.
// EDGEKV_E_UNSUPPORTED as edgekv_score_map_set.
EDGEKV_API int32_t edgekv_inputs_keep(struct llama_context * context, bool keep);

// Of the tokens of the last batch (EDGEKV_CACHE_N_BATCH tokens at most), [n_tokens, n_embd] (count elements). EDGEKV_E_STATE when they were not kept or are gone,
// as after anything but edgekv_decode.
EDGEKV_API int32_t edgekv_inputs(struct llama_context * context, int32_t layer, float * inputs, size_t count);

// keep == true: from here on, starting at zero, the queries and keys of every token that is decoded at position first or after are summed before
// RoPE, after the norms that some models give them, over calls of edgekv_decode and edgekv_score; false costs nothing. Tokens that are taken back stay in the
// sums. EDGEKV_E_UNSUPPORTED for models that do not rotate every layer's queries and keys, or do more than scale them afterwards.
EDGEKV_API int32_t edgekv_queries_keep(struct llama_context * context, bool keep, int32_t first);

// Sums over the tokens, f64.
enum edgekv_query_sum {
    EDGEKV_QUERIES_Q  = 0, // queries, [n_head, head size]
    EDGEKV_QUERIES_QQ = 1, // each query's product with itself, [n_head, head size, head size]
    EDGEKV_QUERIES_K  = 2, // keys, [n_head_kv, head size]

    EDGEKV_QUERIES_Q_ROTATED  = 3, // as the first two, after RoPE
    EDGEKV_QUERIES_QQ_ROTATED = 4,
};

// Of one layer, into sums (count elements). EDGEKV_E_STATE when they are not kept.
EDGEKV_API int32_t edgekv_queries(struct llama_context * context, int32_t which, int32_t layer, double * sums, size_t count);

// Tokens in the sums so far: what turns a sum into a mean.
EDGEKV_API int64_t edgekv_queries_count(struct llama_context * context);

// block > 0: from here on the tokens of every batch are attended to once more, beside the model's own attention, which is not changed: in blocks of so many tokens,
// counted from the batch's first, the last one short where the batch ends. Each query sees all keys of its block, later ones too, and no others: softmax over plain
// products of the two after RoPE, without the model's scale (Compactor, arXiv 2507.08143). 0: no more, which costs nothing. EDGEKV_E_UNSUPPORTED as
// edgekv_queries_keep.
EDGEKV_API int32_t edgekv_blocks_keep(struct llama_context * context, int32_t block);

// What each token of the last batch (EDGEKV_CACHE_N_BATCH tokens at most) got so, summed over the queries of its block, [n_head, n_tokens] (count elements).
// EDGEKV_E_STATE when it was not kept or is gone, as after anything but edgekv_decode.
EDGEKV_API int32_t edgekv_blocks(struct llama_context * context, int32_t layer, float * sums, size_t count);

enum edgekv_rope_pairs {
    EDGEKV_ROPE_ADJACENT   = 0, // channels 2i and 2i + 1
    EDGEKV_ROPE_HALF_SPLIT = 1, // channels i and i + pairs
};

// How a layer rotates keys (RoPE): at position p, pair i is turned by p * frequencies[i] radians and multiplied by *scale, other channels stay. Linear and YaRN scaling
// and the model's own factors are in the frequencies. *n: pairs; with capacity too small nothing else is written and EDGEKV_E_ARGUMENT returned.
// EDGEKV_E_UNSUPPORTED for models whose keys RoPE does not make last, in any layer, or with several positions each: what edgekv_rerotate refuses.
EDGEKV_API int32_t edgekv_rope(struct llama_context * context, int32_t layer, int32_t * pairs, double * frequencies, size_t capacity,
                               size_t * n, double * scale);

enum edgekv_norm {
    EDGEKV_NORM_K = 0,
    EDGEKV_NORM_V = 1,
};

// L2 norms of the cached keys or values at positions 0 .. n_context-1, [n_layer, n_head_kv, n_context] f32 into norms (count elements).
// Needs a full cache.
EDGEKV_API int32_t edgekv_norms(struct llama_context * context, int32_t which, int32_t n_context, float * norms, size_t count);

enum edgekv_row {
    EDGEKV_ROW_K = 0, // after RoPE
    EDGEKV_ROW_V = 1,
};

// The cached keys or values of one layer at positions first .. first + n - 1, [n, n_head_kv, head size] f32 into rows (count elements), as the model
// made them: the rotation that llama.cpp gives to what it quantizes is undone. Needs a full cache.
EDGEKV_API int32_t edgekv_rows(struct llama_context * context, int32_t which, int32_t layer, int32_t first, int32_t n, float * rows,
                               size_t count);

enum edgekv_form {
    EDGEKV_FORM_LINEAR    = 0, // f . r, factors [n_head_kv, n_forms, d]
    EDGEKV_FORM_QUADRATIC = 1, // r . F r, factors [n_head_kv, n_forms, d, d]
    EDGEKV_FORM_SQUARES   = 2, // ||F r||^2, factors as for the quadratic form
};

// What n_forms factors of each KV head make of every cached key or value r of one layer at positions 0 .. n_context-1, d being the head size:
// [n_head_kv, n_forms, n_context] f32 into results (count elements). Rows as edgekv_rows gives them; computed where they lie, in f32. Needs a full
// cache. A failure in the middle leaves some results written.
EDGEKV_API int32_t edgekv_row_forms(struct llama_context * context, int32_t which, int32_t layer, int32_t form, int32_t n_context,
                                    int32_t n_forms, const float * factors, size_t n_factors, float * results, size_t count);

enum edgekv_moment {
    EDGEKV_MOMENT_FIRST  = 1, // sum of w r, [n_head_kv, n_sums, d]
    EDGEKV_MOMENT_SECOND = 2, // sum of w r r^T, [n_head_kv, n_sums, d, d]
};

// Sums over the cached keys or values r of one layer at positions 0 .. n_context-1, each with its weight w, [n_head_kv, n_sums, n_context]: into sums
// (count elements). Products in f32 where the rows lie, added up in f64. Needs a full cache. A failure in the middle leaves parts of the sums.
EDGEKV_API int32_t edgekv_row_moments(struct llama_context * context, int32_t which, int32_t layer, int32_t moment, int32_t n_context,
                                      int32_t n_sums, const float * weights, size_t n_weights, double * sums, size_t count);

enum edgekv_output_norm {
    EDGEKV_OUTPUT_NORM_L1 = 0,
    EDGEKV_OUTPUT_NORM_L2 = 1,
};

// Norms of W_O,a v for every attention head a, W_O,a being its columns of the layer's output matrix and v the value that its KV head holds at positions
// 0 .. n_context-1: [n_layer, n_head, n_context] f32 into norms (count elements). Needs a full cache; costs what the output matrices cost in a prefill.
// EDGEKV_E_UNSUPPORTED for models with something between the heads and that matrix.
EDGEKV_API int32_t edgekv_output_norms(struct llama_context * context, int32_t kind, int32_t n_context, float * norms, size_t count);

//
// Plan
//

// Before a plan: takes the values of rows that it drops into those of rows that it keeps, in one KV head of one layer of a full cache. n pairs; dropped[i] goes with
// weights[i] >= 0 into kept[i], several into the same if need be:
//   v_kept = (v_kept + sum of weights[i] * v_dropped[i]) / (1 + sum of weights[i])
// Keys stay, and so do the dropped rows. Computed in f32 where the rows lie; quantized values are rounded once more. EDGEKV_E_PLAN when a position is not in the cache,
// is dropped twice, or dropped and kept. When it fails while values are rewritten (EDGEKV_E_CANCELLED, EDGEKV_E_INTERNAL), some are: clear the context.
EDGEKV_API int32_t edgekv_merge(struct llama_context * context, int32_t layer, int32_t head, const int32_t * dropped, const int32_t * kept,
                                const float * weights, size_t n);

// Rewrites the cache so that KV head h of layer l keeps the rows of exactly the given positions.
//   counts     [n_layer * n_head_kv], rows per layer and KV head, 0 and up
//   positions  for each layer and KV head in that order, counts[] positions, ascending, all below EDGEKV_CACHE_POSITION; over a compact cache
//              each head's must be among those that it still has
//   room       rows for later tokens, 0 = 256; grows in blocks of this size
//   align      room is rounded up to a multiple of this; 0 = 1 where the cache is host memory, 256 elsewhere: GPU kernels are fastest with
//              multiples of 256 rows, which needs counts that are multiples too
// Everything is checked, and the new cache built, before the old one goes: on failure the old one is whole.
EDGEKV_API int32_t edgekv_apply(struct llama_context * context, const int32_t * counts, size_t n_counts, const int32_t * positions,
                                size_t n_positions, uint32_t room, uint32_t align);

// Closes positions up: every kept key is rotated from its position to its index 0 .. rows-1 by the model's own RoPE, and the next token gets the position rows, so
// that documents longer than the model's window can be read in parts. To be called after edgekv_apply, before the next token: EDGEKV_E_STATE else, and where heads
// kept different numbers of rows. EDGEKV_E_UNSUPPORTED for models whose keys RoPE does not make last, or with several positions each. EDGEKV_CACHE_N_CONTEXT and
// edgekv_cache_positions give the new positions afterwards; each kept row takes its learned score along, token ids of kept rows become unknown. Quantized keys are rounded once more.
// When it fails while keys are rotated (EDGEKV_E_CANCELLED, EDGEKV_E_INTERNAL) the cache is left empty.
EDGEKV_API int32_t edgekv_rerotate(struct llama_context * context);

enum edgekv_cache_key {
    EDGEKV_CACHE_COMPACT   = 0, // 1 when compact, 0 when full
    EDGEKV_CACHE_BYTES     = 1, // of the buffers that hold K and V, as the backends report them
    EDGEKV_CACHE_ROWS      = 2, // kept rows, over all layers and KV heads; 0 when full
    EDGEKV_CACHE_ROOM      = 3, // rows that every head has for later tokens (compact); free and used cells above the context (full: n_ctx)
    EDGEKV_CACHE_N_CONTEXT = 4, // tokens that the kept rows stand for
    EDGEKV_CACHE_ROW_BYTES = 5, // of one KV head's K row and V row together
    EDGEKV_CACHE_N_CTX     = 6, // cells of the full cache that the context was made with
    EDGEKV_CACHE_N_BATCH   = 7,
    EDGEKV_CACHE_POSITION  = 8,  // the position that the next token gets
    EDGEKV_CACHE_SEQUENCES = 9,  // sequences that the cache holds tokens of
    EDGEKV_CACHE_CHANGES   = 10, // a number that is another one after every change of the cache, whoever made it
    EDGEKV_CACHE_FAULT     = 11, // 1 when the context failed; edgekv_last_error() has the reason after this call
    EDGEKV_CACHE_ON_DEVICE = 12, // 1 when some layer's rows lie in a device's memory
    EDGEKV_CACHE_TYPE_K    = 13, // ggml_type of keys
    EDGEKV_CACHE_TYPE_V    = 14,
    EDGEKV_CACHE_LEARNS    = 15, // 1 when a score map is set
};

EDGEKV_API int32_t edgekv_cache_get(struct llama_context * context, int32_t key, int64_t * value);

// Kept rows, and rows for later tokens, of every KV head, [n_layer * n_head_kv] each. A full cache: zeros and n_ctx.
EDGEKV_API int32_t edgekv_cache_rows(struct llama_context * context, int32_t * rows, int32_t * room, size_t count);

// The positions that one KV head kept, ascending; rows of them as edgekv_cache_rows says.
EDGEKV_API int32_t edgekv_cache_positions(struct llama_context * context, int32_t layer, int32_t head, int32_t * positions,
                                          size_t capacity);

#ifdef __cplusplus
}
#endif
