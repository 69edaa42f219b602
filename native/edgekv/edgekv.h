// EdgeKV: a flat C API over llama.cpp that scores, rewrites and decodes over a compact KV cache.
//
// Conventions
//   - Every function that can fail returns an edgekv_status; 0 is success. What went wrong is in edgekv_last_error(),
//     one sentence per thread, valid until that thread's next call.
//   - On failure out parameters are left as they were and nothing else has changed, unless a function says otherwise.
//   - A context belongs to one thread at a time; edgekv_interrupt() alone may be called from any other.
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
#define EDGEKV_ABI_VERSION 8

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
};

typedef struct edgekv_model   edgekv_model;
typedef struct edgekv_context edgekv_context;
typedef struct edgekv_scores  edgekv_scores;
typedef struct edgekv_sampler edgekv_sampler;

typedef struct edgekv_score_map edgekv_score_map;

// Called between the steps of long work with the share done, 0 to 1. Returning false stops the work: EDGEKV_E_CANCELLED.
typedef bool (*edgekv_progress_fn)(float share, void * user);

// level: 1 debug, 2 info, 3 warning, 4 error. The text ends without a newline.
typedef void (*edgekv_log_fn)(int32_t level, const char * text, void * user);

EDGEKV_API uint32_t edgekv_abi_version(void);

EDGEKV_API const char * edgekv_last_error(void);

// fn == NULL: silence, which is the default.
EDGEKV_API void edgekv_log_set(edgekv_log_fn fn, void * user);

//
// Backends
//

// Loads the CPU backend and every GPU backend that lie in folder; must come before the first model. Further calls do nothing.
// cpu: the name of a CPU variant ("haswell", "zen4", ...), or NULL for the best one that this machine can run, AMX variants
// left out (edgekv never picks them: some hypervisors list AMX and then kill the process that uses it).
EDGEKV_API int32_t edgekv_backends_load(const char * folder, const char * cpu);

// Devices that models can be put on, the CPU among them.
EDGEKV_API int32_t edgekv_device_count(void);

enum edgekv_device_type {
    EDGEKV_DEVICE_CPU = 0,
    EDGEKV_DEVICE_GPU = 1,
};

// name and description are cut to their capacities (bytes, terminating zero included).
EDGEKV_API int32_t edgekv_device_info(int32_t index, int32_t * type, uint64_t * bytes_free, uint64_t * bytes_total, char * name,
                                      size_t name_capacity, char * description, size_t description_capacity);

//
// Model
//

// n_gpu_layers: layers put on the first GPU device; 0 none, negative all.
EDGEKV_API int32_t edgekv_model_load(const char * path, int32_t n_gpu_layers, bool use_mmap, edgekv_progress_fn progress, void * user,
                                     edgekv_model ** out);

// All contexts of the model must have been freed before.
EDGEKV_API void edgekv_model_free(edgekv_model * model);

enum edgekv_model_key {
    EDGEKV_MODEL_N_LAYER     = 0,
    EDGEKV_MODEL_N_HEAD      = 1, // attention heads of a layer
    EDGEKV_MODEL_N_HEAD_KV   = 2, // KV heads of a layer
    EDGEKV_MODEL_HEAD_SIZE_K = 3,
    EDGEKV_MODEL_HEAD_SIZE_V = 4,
    EDGEKV_MODEL_N_EMBD      = 5,
    EDGEKV_MODEL_N_CTX_TRAIN = 6, // the model's window, tokens
    EDGEKV_MODEL_N_VOCAB     = 7,
    EDGEKV_MODEL_N_PARAMS    = 8,
    EDGEKV_MODEL_BYTES       = 9, // of all tensors
};

EDGEKV_API int32_t edgekv_model_get(const edgekv_model * model, int32_t key, int64_t * value);

// EDGEKV_OK when caches of this model can be made compact; else EDGEKV_E_UNSUPPORTED and the reason in edgekv_last_error().
EDGEKV_API int32_t edgekv_model_supported(const edgekv_model * model);

// The value of a GGUF metadata key, or the description for key == NULL. *length: bytes that the whole text needs without its
// terminating zero. The text is cut to capacity. EDGEKV_E_ARGUMENT when the model has no such key.
EDGEKV_API int32_t edgekv_model_text(const edgekv_model * model, const char * key, char * text, size_t capacity, size_t * length);

// add_special: with the tokens that the model puts around every text. parse_special: text such as <|im_start|> becomes its token.
// *count: tokens that the text has; with capacity too small nothing is written and EDGEKV_E_ARGUMENT returned, *count being set.
EDGEKV_API int32_t edgekv_tokenize(const edgekv_model * model, const char * text, size_t text_bytes, bool add_special, bool parse_special,
                                   int32_t * tokens, int32_t capacity, int32_t * count);

// The bytes of one token; may be a part of a character. special: control tokens as text, else as nothing. *length as in edgekv_model_text,
// except that with capacity too small EDGEKV_E_ARGUMENT is returned. No terminating zero is written.
EDGEKV_API int32_t edgekv_token_text(const edgekv_model * model, int32_t token, bool special, char * text, size_t capacity,
                                     size_t * length);

// Whether a token ends generation (end of text, end of turn).
EDGEKV_API bool edgekv_token_is_end(const edgekv_model * model, int32_t token);

// The model's own chat template over n messages. EDGEKV_E_UNSUPPORTED when llama.cpp does not know the template, or there is none.
// *length as in edgekv_model_text, except that with capacity too small EDGEKV_E_ARGUMENT is returned.
EDGEKV_API int32_t edgekv_chat_text(const edgekv_model * model, const char * const * roles, const char * const * contents, size_t n,
                                    bool add_assistant, char * text, size_t capacity, size_t * length);

//
// Context: one sequence over one KV cache
//

// Element type of K and V, values of ggml_type.
enum edgekv_type {
    EDGEKV_TYPE_F32  = 0,
    EDGEKV_TYPE_F16  = 1,
    EDGEKV_TYPE_Q4_0 = 2,
    EDGEKV_TYPE_Q8_0 = 8,
};

// n_ctx: cells of the full cache. n_batch: tokens per decode step, 0 = 512. n_threads 0: physical cores. offload_kv: the cache lies with
// the layers on their devices, else in host memory. Memory is checked before it is taken: EDGEKV_E_MEMORY.
// Flash attention is always on; a model that cannot is refused.
EDGEKV_API int32_t edgekv_context_create(edgekv_model * model, uint32_t n_ctx, uint32_t n_batch, int32_t type, int32_t n_threads,
                                         bool offload_kv, edgekv_context ** out);

// Takes over the cache of a context that somebody else owns (LLamaSharp, say): a struct llama_context of the libllama that lies beside
// this library. It must outlive the result. Freeing the result leaves the llama_context working if its cache was never made compact; if
// it was, only freeing the llama_context is left.
EDGEKV_API int32_t edgekv_context_attach(void * llama_context, edgekv_context ** out);

EDGEKV_API void edgekv_context_free(edgekv_context * context);

// The struct llama_context behind it.
EDGEKV_API void * edgekv_context_llama(edgekv_context * context);

// Positions that the context will come to have, where a compact cache makes them more than n_ctx, which is what is taken else: models with
// RoPE factors for short and for long contexts choose by it. Up to the model's window; the cache must be empty.
EDGEKV_API int32_t edgekv_positions_set(edgekv_context * context, uint32_t n_positions);

EDGEKV_API int32_t edgekv_threads_set(edgekv_context * context, int32_t n_threads);

// What computes the attention of single tokens over a compact cache in host memory; everything else is llama.cpp's kernels' work.
enum edgekv_attention {
    EDGEKV_ATTENTION_AUTO =
        0, // the default: EDGEKV for f32 and f16. A quantized cache makes any other order of sums visible, so LLAMA for those
    EDGEKV_ATTENTION_EDGEKV = 1, // faster, sums in f32; needs a CPU with AVX2, LLAMA elsewhere
    EDGEKV_ATTENTION_LLAMA  = 2, // llama.cpp's kernels: with every row kept and one thread, its logits to the last bit
};

EDGEKV_API int32_t edgekv_attention_set(edgekv_context * context, int32_t kernel);

enum edgekv_logits {
    EDGEKV_LOGITS_NONE = 0,
    EDGEKV_LOGITS_LAST = 1, // of the last token
    EDGEKV_LOGITS_ALL  = 2, // of every token; n_tokens must not be above n_batch
};

// Feeds tokens at the next positions. On any failure, cancellation among them, all tokens of this call are taken back.
// A compact cache grows when its room is full.
EDGEKV_API int32_t edgekv_decode(edgekv_context * context, const int32_t * tokens, int32_t n_tokens, int32_t logits,
                                 edgekv_progress_fn progress, void * user);

// Asks the call that is running in this context, or the next one, to stop: EDGEKV_E_CANCELLED. Any thread. On the CPU within one operation
// of the graph, on other devices within one batch.
EDGEKV_API void edgekv_interrupt(edgekv_context * context);

// Logits [n_vocab] of a token of the last decode: 0-based, or negative from the end. Valid until the next call that decodes.
EDGEKV_API int32_t edgekv_logits(edgekv_context * context, int32_t index, const float ** logits);

// The position that the next token gets, which is how many tokens were fed and not taken back.
EDGEKV_API int32_t edgekv_position(const edgekv_context * context);

// Takes back every token at position and after. Rows that compaction kept cannot be taken back: EDGEKV_E_STATE, nothing changed.
EDGEKV_API int32_t edgekv_rollback(edgekv_context * context, int32_t position);

// Empties the cache, which becomes full again; where memory for that is not to be had it stays compact, with no kept rows.
EDGEKV_API int32_t edgekv_clear(edgekv_context * context);

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
EDGEKV_API int32_t edgekv_scores_create(edgekv_context * context, int32_t n_context, uint32_t aggregates, edgekv_scores ** out);

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
EDGEKV_API int32_t edgekv_score(edgekv_context * context, edgekv_scores * scores, const int32_t * tokens, int32_t n_tokens,
                                uint64_t bytes_max, edgekv_progress_fn progress, void * user);

// Frees the memory that score passes left in the scheduler. Called by edgekv_apply.
EDGEKV_API int32_t edgekv_score_end(edgekv_context * context);

// What layers would lose if they kept few rows (CompressKV, arXiv 2508.02401, equations 8-12). Feeds tokens as edgekv_decode does; they stay. For each token and layer
// the attention after the output matrix is computed twice from the same query: O_f over all rows, O_c over the rows at the layer's given positions and every
// one from n_context on. What the layer hands on is O_f.
//   counts     [n_layer], given positions of each layer, 0 and up
//   positions  for each layer in that order, counts[] positions, ascending, below n_context, which is at most edgekv_position()
//   errors     [n_layer] (count), set to the sum over the tokens of ||O_c - O_f|| / (||O_f|| + epsilon), epsilon > 0
// Needs a full cache of f32 or f16. The last token's logits are there afterwards. EDGEKV_E_UNSUPPORTED for models with something between the heads and the output matrix.
EDGEKV_API int32_t edgekv_eviction_errors(edgekv_context * context, int32_t n_context, const int32_t * counts, const int32_t * positions,
                                          size_t n_positions, const int32_t * tokens, int32_t n_tokens, double epsilon, double * errors,
                                          size_t count, edgekv_progress_fn progress, void * user);

// The array of one aggregate, [n_layer, n_head, n_context]; NULL when it was not asked for. Valid as long as scores.
EDGEKV_API const float * edgekv_scores_data(const edgekv_scores * scores, int32_t aggregate);

// Queries seen so far: what turns a sum into a mean.
EDGEKV_API int64_t edgekv_scores_queries(const edgekv_scores * scores);

// Learned scores: y = W_l x + b_l per layer, x being what the layer's attention is given, one score per KV head. They come with the prefill.
// weights [n_layer][n_embd + 1][n_head_kv], the bias last; copied to where the layers lie. The model must outlive the map and its contexts.
EDGEKV_API int32_t edgekv_score_map_create(edgekv_model * model, const float * weights, size_t count, edgekv_score_map ** out);

// Contexts that use it go on using it.
EDGEKV_API void edgekv_score_map_free(edgekv_score_map * map);

// From here on every token is scored as it is decoded; NULL: none, which costs nothing. The cache must be empty. EDGEKV_E_UNSUPPORTED for models
// whose graph does not name the input of every layer's attention.
EDGEKV_API int32_t edgekv_score_map_set(edgekv_context * context, const edgekv_score_map * map);

// Scores of positions first .. first + n - 1, [n_layer, n_head_kv, n] (count elements). EDGEKV_E_STATE when some were read without a map, or came with a loaded state.
EDGEKV_API int32_t edgekv_learned_scores(const edgekv_context * context, int32_t first, int32_t n, float * scores, size_t count);

// What maps are learned from: keep == true keeps what every layer's attention is given, of one batch at a time; false costs nothing.
// EDGEKV_E_UNSUPPORTED as edgekv_score_map_set.
EDGEKV_API int32_t edgekv_inputs_keep(edgekv_context * context, bool keep);

// Of the tokens of the last batch (EDGEKV_CACHE_N_BATCH tokens at most), [n_tokens, n_embd] (count elements). EDGEKV_E_STATE when they were not kept or are gone,
// as after anything but edgekv_decode.
EDGEKV_API int32_t edgekv_inputs(const edgekv_context * context, int32_t layer, float * inputs, size_t count);

// keep == true: from here on, starting at zero, the queries and keys of every token that is decoded at position first or after are summed before
// RoPE, after the norms that some models give them, over calls of edgekv_decode and edgekv_score; false costs nothing. Tokens that are taken back stay in the
// sums. EDGEKV_E_UNSUPPORTED for models that do not rotate every layer's queries and keys, or do more than scale them afterwards.
EDGEKV_API int32_t edgekv_queries_keep(edgekv_context * context, bool keep, int32_t first);

// Sums over the tokens, f64.
enum edgekv_query_sum {
    EDGEKV_QUERIES_Q  = 0, // queries, [n_head, head size]
    EDGEKV_QUERIES_QQ = 1, // each query's product with itself, [n_head, head size, head size]
    EDGEKV_QUERIES_K  = 2, // keys, [n_head_kv, head size]

    EDGEKV_QUERIES_Q_ROTATED  = 3, // as the first two, after RoPE
    EDGEKV_QUERIES_QQ_ROTATED = 4,
};

// Of one layer, into sums (count elements). EDGEKV_E_STATE when they are not kept.
EDGEKV_API int32_t edgekv_queries(const edgekv_context * context, int32_t which, int32_t layer, double * sums, size_t count);

// Tokens in the sums so far: what turns a sum into a mean.
EDGEKV_API int64_t edgekv_queries_count(const edgekv_context * context);

// block > 0: from here on the tokens of every batch are attended to once more, beside the model's own attention, which is not changed: in blocks of so many tokens,
// counted from the batch's first, the last one short where the batch ends. Each query sees all keys of its block, later ones too, and no others: softmax over plain
// products of the two after RoPE, without the model's scale (Compactor, arXiv 2507.08143). 0: no more, which costs nothing. EDGEKV_E_UNSUPPORTED as
// edgekv_queries_keep.
EDGEKV_API int32_t edgekv_blocks_keep(edgekv_context * context, int32_t block);

// What each token of the last batch (EDGEKV_CACHE_N_BATCH tokens at most) got so, summed over the queries of its block, [n_head, n_tokens] (count elements).
// EDGEKV_E_STATE when it was not kept or is gone, as after anything but edgekv_decode.
EDGEKV_API int32_t edgekv_blocks(const edgekv_context * context, int32_t layer, float * sums, size_t count);

enum edgekv_rope_pairs {
    EDGEKV_ROPE_ADJACENT   = 0, // channels 2i and 2i + 1
    EDGEKV_ROPE_HALF_SPLIT = 1, // channels i and i + pairs
};

// How a layer rotates keys (RoPE): at position p, pair i is turned by p * frequencies[i] radians and multiplied by *scale, other channels stay. Linear and YaRN scaling
// and the model's own factors are in the frequencies. *n: pairs; with capacity too small nothing else is written and EDGEKV_E_ARGUMENT returned.
// EDGEKV_E_UNSUPPORTED for models whose keys RoPE does not make last, in any layer, or with several positions each: what edgekv_rerotate refuses.
EDGEKV_API int32_t edgekv_rope(edgekv_context * context, int32_t layer, int32_t * pairs, double * frequencies, size_t capacity, size_t * n,
                               double * scale);

enum edgekv_norm {
    EDGEKV_NORM_K = 0,
    EDGEKV_NORM_V = 1,
};

// L2 norms of the cached keys or values at positions 0 .. n_context-1, [n_layer, n_head_kv, n_context] f32 into norms (count elements).
// Needs a full cache.
EDGEKV_API int32_t edgekv_norms(edgekv_context * context, int32_t which, int32_t n_context, float * norms, size_t count);

enum edgekv_row {
    EDGEKV_ROW_K = 0, // after RoPE
    EDGEKV_ROW_V = 1,
};

// The cached keys or values of one layer at positions first .. first + n - 1, [n, n_head_kv, head size] f32 into rows (count elements), as the model
// made them: the rotation that llama.cpp gives to what it quantizes is undone. Needs a full cache.
EDGEKV_API int32_t edgekv_rows(edgekv_context * context, int32_t which, int32_t layer, int32_t first, int32_t n, float * rows,
                               size_t count);

enum edgekv_form {
    EDGEKV_FORM_LINEAR    = 0, // f . r, factors [n_head_kv, n_forms, d]
    EDGEKV_FORM_QUADRATIC = 1, // r . F r, factors [n_head_kv, n_forms, d, d]
    EDGEKV_FORM_SQUARES   = 2, // ||F r||^2, factors as for the quadratic form
};

// What n_forms factors of each KV head make of every cached key or value r of one layer at positions 0 .. n_context-1, d being the head size:
// [n_head_kv, n_forms, n_context] f32 into results (count elements). Rows as edgekv_rows gives them; computed where they lie, in f32. Needs a full
// cache. A failure in the middle leaves some results written.
EDGEKV_API int32_t edgekv_row_forms(edgekv_context * context, int32_t which, int32_t layer, int32_t form, int32_t n_context,
                                    int32_t n_forms, const float * factors, size_t n_factors, float * results, size_t count);

enum edgekv_moment {
    EDGEKV_MOMENT_FIRST  = 1, // sum of w r, [n_head_kv, n_sums, d]
    EDGEKV_MOMENT_SECOND = 2, // sum of w r r^T, [n_head_kv, n_sums, d, d]
};

// Sums over the cached keys or values r of one layer at positions 0 .. n_context-1, each with its weight w, [n_head_kv, n_sums, n_context]: into sums
// (count elements). Products in f32 where the rows lie, added up in f64. Needs a full cache. A failure in the middle leaves parts of the sums.
EDGEKV_API int32_t edgekv_row_moments(edgekv_context * context, int32_t which, int32_t layer, int32_t moment, int32_t n_context,
                                      int32_t n_sums, const float * weights, size_t n_weights, double * sums, size_t count);

enum edgekv_output_norm {
    EDGEKV_OUTPUT_NORM_L1 = 0,
    EDGEKV_OUTPUT_NORM_L2 = 1,
};

// Norms of W_O,a v for every attention head a, W_O,a being its columns of the layer's output matrix and v the value that its KV head holds at positions
// 0 .. n_context-1: [n_layer, n_head, n_context] f32 into norms (count elements). Needs a full cache; costs what the output matrices cost in a prefill.
// EDGEKV_E_UNSUPPORTED for models with something between the heads and that matrix.
EDGEKV_API int32_t edgekv_output_norms(edgekv_context * context, int32_t kind, int32_t n_context, float * norms, size_t count);

//
// Plan
//

// Before a plan: takes the values of rows that it drops into those of rows that it keeps, in one KV head of one layer of a full cache. n pairs; dropped[i] goes with
// weights[i] >= 0 into kept[i], several into the same if need be:
//   v_kept = (v_kept + sum of weights[i] * v_dropped[i]) / (1 + sum of weights[i])
// Keys stay, and so do the dropped rows. Computed in f32 where the rows lie; quantized values are rounded once more. EDGEKV_E_PLAN when a position is not in the cache,
// is dropped twice, or dropped and kept. When it fails while values are rewritten (EDGEKV_E_CANCELLED, EDGEKV_E_INTERNAL), some are: clear the context.
EDGEKV_API int32_t edgekv_merge(edgekv_context * context, int32_t layer, int32_t head, const int32_t * dropped, const int32_t * kept,
                                const float * weights, size_t n);

// Rewrites the cache so that KV head h of layer l keeps the rows of exactly the given positions.
//   counts     [n_layer * n_head_kv], rows per layer and KV head, 0 and up
//   positions  for each layer and KV head in that order, counts[] positions, ascending, all below edgekv_position(); over a compact cache
//              each head's must be among those that it still has
//   room       rows for later tokens, 0 = 256; grows in blocks of this size
//   align      room is rounded up to a multiple of this; 0 = 1 where the cache is host memory, 256 elsewhere: GPU kernels are fastest with
//              multiples of 256 rows, which needs counts that are multiples too
// Everything is checked, and the new cache built, before the old one goes: on failure the old one is whole.
EDGEKV_API int32_t edgekv_apply(edgekv_context * context, const int32_t * counts, size_t n_counts, const int32_t * positions,
                                size_t n_positions, uint32_t room, uint32_t align);

// Closes positions up: every kept key is rotated from its position to its index 0 .. rows-1 by the model's own RoPE, and the next token gets the position rows, so
// that documents longer than the model's window can be read in parts. To be called after edgekv_apply, before the next token: EDGEKV_E_STATE else, and where heads
// kept different numbers of rows. EDGEKV_E_UNSUPPORTED for models whose keys RoPE does not make last, or with several positions each. EDGEKV_CACHE_N_CONTEXT and
// edgekv_cache_positions give the new positions afterwards; learned scores are forgotten but for those of later tokens. Quantized keys are rounded once more.
// When it fails while keys are rotated (EDGEKV_E_CANCELLED, EDGEKV_E_INTERNAL) the cache is left empty.
EDGEKV_API int32_t edgekv_rerotate(edgekv_context * context);

enum edgekv_cache_key {
    EDGEKV_CACHE_COMPACT   = 0, // 1 when compact, 0 when full
    EDGEKV_CACHE_BYTES     = 1, // of the buffers that hold K and V, as the backends report them
    EDGEKV_CACHE_ROWS      = 2, // kept rows, over all layers and KV heads; 0 when full
    EDGEKV_CACHE_ROOM      = 3, // rows that every head has for later tokens (compact); free and used cells above the context (full: n_ctx)
    EDGEKV_CACHE_N_CONTEXT = 4, // tokens that the kept rows stand for
    EDGEKV_CACHE_ROW_BYTES = 5, // of one KV head's K row and V row together
    EDGEKV_CACHE_N_CTX     = 6, // cells of the full cache that the context was made with
    EDGEKV_CACHE_N_BATCH   = 7,
};

EDGEKV_API int32_t edgekv_cache_get(const edgekv_context * context, int32_t key, int64_t * value);

// Kept rows, and rows for later tokens, of every KV head, [n_layer * n_head_kv] each. A full cache: zeros and n_ctx.
EDGEKV_API int32_t edgekv_cache_rows(const edgekv_context * context, int32_t * rows, int32_t * room, size_t count);

// The positions that one KV head kept, ascending; rows of them as edgekv_cache_rows says.
EDGEKV_API int32_t edgekv_cache_positions(const edgekv_context * context, int32_t layer, int32_t head, int32_t * positions,
                                          size_t capacity);

// Through llama.cpp's own state files; a compact cache is saved as it is and loads into any context of the same model and cache type.
// A failed load leaves the cache empty.
EDGEKV_API int32_t edgekv_state_save(edgekv_context * context, const char * path, const int32_t * tokens, size_t n_tokens);
EDGEKV_API int32_t edgekv_state_load(edgekv_context * context, const char * path, int32_t * tokens, size_t capacity, size_t * n_tokens);

//
// Sampling, by llama.cpp's own samplers
//

// temperature <= 0: greedy, the rest is not used. top_k <= 0, top_p >= 1, min_p <= 0: off.
EDGEKV_API int32_t edgekv_sampler_create(float temperature, int32_t top_k, float top_p, float min_p, uint32_t seed, edgekv_sampler ** out);

EDGEKV_API void edgekv_sampler_free(edgekv_sampler * sampler);

// Draws from the last decoded token's logits.
EDGEKV_API int32_t edgekv_sampler_sample(edgekv_sampler * sampler, edgekv_context * context, int32_t * token);

#ifdef __cplusplus
}
#endif
