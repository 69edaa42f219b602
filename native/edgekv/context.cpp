#include "backend.h"
#include "memory.h"
#include "objects.h"

#include "llama-model.h"

#include <algorithm>
#include <map>
#include <thread>

using namespace edgekv;

namespace {

constexpr uint32_t BATCH_DEFAULT = 512;

// Polled by the CPU backend between the operations of a graph.
bool on_abort(void * user) {
    return ((edgekv_context *) user)->interrupted.load(std::memory_order_relaxed);
}

edgekv_context & checked(edgekv_context * context) {
    if (!context) {
        fail(EDGEKV_E_ARGUMENT, "no context was given");
    }
    return *context;
}

const edgekv_context & checked(const edgekv_context * context) {
    return checked(const_cast<edgekv_context *>(context));
}

void check_cache_memory(const llama_model & model, uint32_t n_ctx, ggml_type type, bool offload) {
    const llama_hparams & hparams = model.hparams;

    std::map<ggml_backend_dev_t, uint64_t> needed;
    for (uint32_t il = 0; il < hparams.n_layer(); ++il) {
        const uint64_t row = ggml_row_size(type, hparams.n_embd_k_gqa(il)) + ggml_row_size(type, hparams.n_embd_v_gqa(il));
        needed[offload ? model.dev_layer(il) : nullptr] += row * n_ctx;
    }

    for (const auto & [device, bytes] : needed) {
        const memory_left left = memory_left_on(device);
        if (bytes > left.bytes) {
            fail(EDGEKV_E_MEMORY, "a cache of %u tokens needs %.1f MiB and %s has %.1f MiB left", n_ctx, bytes / 1048576.0,
                 left.where.c_str(), left.bytes / 1048576.0);
        }
    }
}

int32_t threads_or_default(int32_t n) {
    if (n < 0) {
        fail(EDGEKV_E_ARGUMENT, "%d threads", n);
    }
    if (n > 0) {
        return n;
    }
    // llama.cpp's threads spin: one per core, and no more than there are
    return std::max(1, (int32_t) std::thread::hardware_concurrency());
}

// Tokens fed at one time so that their attention weights, [n_kv, tokens, heads] f32 of one layer at a time, take no more than bytes_max; 0 = 64 MiB.
int32_t tokens_with_weights(const edgekv_context & context, int32_t n_tokens, uint64_t bytes_max) {
    constexpr uint64_t BYTES_DEFAULT = 64ull << 20;

    const uint64_t n_kv      = std::min<uint64_t>(context.cache->n_ctx(), (context.position() + n_tokens + 255) / 256 * 256);
    const uint64_t per_token = n_kv * context.cache->n_head() * sizeof(float);
    const uint64_t n_fit     = (bytes_max ? bytes_max : BYTES_DEFAULT) / per_token;
    const int32_t  n_batch   = (int32_t) std::min(llama_n_batch(context.ctx), llama_n_ubatch(context.ctx));

    return (int32_t) std::clamp<uint64_t>(n_fit, 1, n_batch);
}

void check_tokens(const edgekv_context & context, const int32_t * tokens, int32_t n_tokens) {
    if (n_tokens <= 0 || !tokens) {
        fail(EDGEKV_E_ARGUMENT, "no tokens were given");
    }
    const int32_t n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(&context.ctx->get_model()));
    for (int32_t i = 0; i < n_tokens; ++i) {
        if (tokens[i] < 0 || tokens[i] >= n_vocab) {
            fail(EDGEKV_E_ARGUMENT, "token %d at index %d is not in 0 .. %d", tokens[i], i, n_vocab - 1);
        }
    }
}

} // namespace

edgekv_context::~edgekv_context() {
    if (owned) {
        llama_free(ctx);
        if (model) {
            --model->n_contexts;
        }
    } else if (ctx && cache) {
        ctx->set_kv_ext(nullptr);
    }
}

int32_t edgekv_context::position() const {
    return cache->position();
}

void edgekv_context::check_window(int32_t n_tokens) const {
    const int32_t window = (int32_t) ctx->get_model().hparams.n_ctx_train;
    const int64_t needed = (int64_t) position() + n_tokens;

    if (needed > window) {
        fail(EDGEKV_E_WINDOW, "%lld tokens are more than the model's window of %d", (long long) needed, window);
    }
    if (!cache->compact() && needed > (int64_t) cache->n_ctx()) {
        fail(EDGEKV_E_WINDOW, "%lld tokens are more than the %u that the context was made for", (long long) needed, cache->n_ctx());
    }
}

void edgekv_context::decode_batch(const int32_t * tokens, int32_t n_tokens, int32_t logits) {
    const int32_t start  = position();
    llama_seq_id  seq_id = cache->sequence();

    std::vector<llama_pos>      positions(n_tokens);
    std::vector<int32_t>        n_seq_id(n_tokens, 1);
    std::vector<llama_seq_id *> seq_ids(n_tokens, &seq_id);
    std::vector<int8_t>         outputs(n_tokens, logits == EDGEKV_LOGITS_ALL);
    for (int32_t i = 0; i < n_tokens; ++i) {
        positions[i] = start + i;
    }
    if (logits == EDGEKV_LOGITS_LAST) {
        outputs[n_tokens - 1] = 1;
    }

    llama_batch batch = {};
    batch.n_tokens    = n_tokens;
    batch.token       = const_cast<llama_token *>(tokens);
    batch.pos         = positions.data();
    batch.n_seq_id    = n_seq_id.data();
    batch.seq_id      = seq_ids.data();
    batch.logits      = outputs.data();

    cache->prepare_queries(start, n_tokens);

    clear_llama_error();
    const int32_t status = interrupted.load() ? 2 : llama_decode(ctx, batch);
    if (status == 0) {
        llama_synchronize(ctx);
        cache->collect_learned(start, n_tokens);
        cache->collect_inputs(n_tokens);
        cache->collect_queries(n_tokens);
        cache->collect_blocks(n_tokens);
        return;
    }
    switch (status) {
        case 1:
            fail(EDGEKV_E_MEMORY, "no room for %d more tokens in the cache: %s", n_tokens, llama_error().c_str());
        case 2:
            interrupted = false;
            fail(EDGEKV_E_CANCELLED, "decoding was interrupted");
        default:
            fail(EDGEKV_E_INTERNAL, "llama.cpp could not decode (%d): %s", status, llama_error().c_str());
    }
}

void edgekv_context::take_back(int32_t position) {
    if (position >= this->position()) {
        return;
    }
    if (position < cache->n_context()) {
        fail(EDGEKV_E_STATE, "position %d is before %d, up to where rows were kept by compaction; clear the context to start anew",
             position, cache->n_context());
    }
    llama_memory_seq_rm(llama_get_memory(ctx), cache->sequence(), position, -1);
}

int32_t edgekv_context_create(edgekv_model * model, uint32_t n_ctx, uint32_t n_batch, int32_t type, int32_t n_threads, bool offload_kv,
                              edgekv_context ** out) {
    return guarded([&] {
        if (!model || !out) {
            fail(EDGEKV_E_ARGUMENT, "no model was given");
        }
        const std::string reason = compact_cache::unsupported_reason(*model->model);
        if (!reason.empty()) {
            fail(EDGEKV_E_UNSUPPORTED, "the KV cache of this model cannot be made compact: %s", reason.c_str());
        }
        if (type != EDGEKV_TYPE_F32 && type != EDGEKV_TYPE_F16 && type != EDGEKV_TYPE_Q4_0 && type != EDGEKV_TYPE_Q8_0) {
            fail(EDGEKV_E_ARGUMENT, "there is no cache type %d", type);
        }
        const llama_hparams & hparams = model->model->hparams;
        for (const uint32_t d : { hparams.n_embd_head_k(), hparams.n_embd_head_v() }) {
            if (d % ggml_blck_size((ggml_type) type) != 0) {
                fail(EDGEKV_E_UNSUPPORTED, "a head size of %u cannot be kept in %s; use f16", d, ggml_type_name((ggml_type) type));
            }
        }
        if (n_ctx == 0 || n_ctx > (uint32_t) llama_model_n_ctx_train(model->model)) {
            fail(EDGEKV_E_WINDOW, "a context of %u tokens; the model's window is %d", n_ctx, llama_model_n_ctx_train(model->model));
        }
        check_cache_memory(*model->model, n_ctx, (ggml_type) type, offload_kv);

        auto context   = std::make_unique<edgekv_context>();
        context->owned = true;

        llama_context_params params = llama_context_default_params();
        params.n_ctx                = n_ctx;
        params.n_batch              = n_batch ? n_batch : BATCH_DEFAULT;
        params.n_ubatch             = params.n_batch;
        params.n_seq_max            = 1;
        params.n_threads            = threads_or_default(n_threads);
        params.n_threads_batch      = params.n_threads;
        params.flash_attn_type      = LLAMA_FLASH_ATTN_TYPE_ENABLED;
        params.type_k               = (ggml_type) type;
        params.type_v               = (ggml_type) type;
        params.offload_kqv          = offload_kv;
        params.abort_callback       = on_abort;
        params.abort_callback_data  = context.get();

        {
            const abort_guard guard;
            context->ctx = llama_init_from_model(model->model, params);
        }
        if (!context->ctx) {
            fail(EDGEKV_E_INTERNAL, "llama.cpp could not make a context: %s", llama_error().c_str());
        }
        context->model = model;
        ++model->n_contexts;

        context->cache = std::make_unique<compact_cache>(*context->ctx);

        *out = context.release();
    });
}

int32_t edgekv_context_attach(void * llama, edgekv_context ** out) {
    return guarded([&] {
        if (!llama || !out) {
            fail(EDGEKV_E_ARGUMENT, "no llama_context was given");
        }
        auto context   = std::make_unique<edgekv_context>();
        context->ctx   = (llama_context *) llama;
        context->cache = std::make_unique<compact_cache>(*context->ctx);

        *out = context.release();
    });
}

void edgekv_context_free(edgekv_context * context) {
    if (context) {
        delete context;
        host_memory_trim();
    }
}

void * edgekv_context_llama(edgekv_context * context) {
    return context ? context->ctx : nullptr;
}

int32_t edgekv_positions_set(edgekv_context * context, uint32_t n_positions) {
    return guarded([&] {
        edgekv_context & c      = checked(context);
        const uint32_t   window = c.ctx->get_model().hparams.n_ctx_train;
        if (n_positions == 0 || n_positions > window) {
            fail(EDGEKV_E_WINDOW, "a context of %u positions; the model's window is %u", n_positions, window);
        }
        if (c.position() > 0) {
            fail(EDGEKV_E_STATE, "the cache holds %d tokens, whose keys are rotated already; clear it first", c.position());
        }
        c.cache->set_positions(n_positions);
    });
}

int32_t edgekv_threads_set(edgekv_context * context, int32_t n_threads) {
    return guarded([&] {
        const int32_t n = threads_or_default(n_threads);
        llama_set_n_threads(checked(context).ctx, n, n);
        context->cache->changed();
    });
}

int32_t edgekv_attention_set(edgekv_context * context, int32_t kernel) {
    return guarded([&] { checked(context).cache->set_attention(kernel); });
}

int32_t edgekv_decode(edgekv_context * context, const int32_t * tokens, int32_t n_tokens, int32_t logits, edgekv_progress_fn progress,
                      void * user) {
    return guarded([&] {
        edgekv_context & c = checked(context);
        check_tokens(c, tokens, n_tokens);

        const int32_t n_batch = (int32_t) std::min(llama_n_batch(c.ctx), llama_n_ubatch(c.ctx));
        if (logits < EDGEKV_LOGITS_NONE || logits > EDGEKV_LOGITS_ALL) {
            fail(EDGEKV_E_ARGUMENT, "there is no choice of logits %d", logits);
        }
        if (logits == EDGEKV_LOGITS_ALL && n_tokens > n_batch) {
            fail(EDGEKV_E_ARGUMENT, "logits of all of %d tokens were asked for, a batch has %d", n_tokens, n_batch);
        }
        c.check_window(n_tokens);

        c.feed(tokens, n_tokens, n_batch, logits, progress, user, [](int32_t, int32_t) {});
    });
}

void edgekv_interrupt(edgekv_context * context) {
    if (context) {
        context->interrupted = true;
    }
}

int32_t edgekv_logits(edgekv_context * context, int32_t index, const float ** logits) {
    return guarded([&] {
        edgekv_context & c = checked(context);
        if (!logits) {
            fail(EDGEKV_E_ARGUMENT, "no place for the logits was given");
        }
        const float * result = llama_get_logits_ith(c.ctx, index);
        if (!result) {
            fail(EDGEKV_E_STATE, "the last decode left no logits at index %d", index);
        }
        *logits = result;
    });
}

int32_t edgekv_position(const edgekv_context * context) {
    return context ? context->position() : 0;
}

int32_t edgekv_rollback(edgekv_context * context, int32_t position) {
    return guarded([&] {
        edgekv_context & c = checked(context);
        if (position < 0 || position > c.position()) {
            fail(EDGEKV_E_ARGUMENT, "position %d is not in 0 .. %d", position, c.position());
        }
        c.take_back(position);
    });
}

int32_t edgekv_clear(edgekv_context * context) {
    return guarded([&] { llama_memory_clear(llama_get_memory(checked(context).ctx), false); });
}

//
// scores
//

int32_t edgekv_scores_create(edgekv_context * context, int32_t n_context, uint32_t aggregates, edgekv_scores ** out) {
    return guarded([&] {
        edgekv_context & c = checked(context);
        if (!out || n_context <= 0 || n_context > (int32_t) c.ctx->get_model().hparams.n_ctx_train) {
            fail(EDGEKV_E_ARGUMENT, "scores of %d positions", n_context);
        }
        if (aggregates == 0 || (aggregates & ~(uint32_t) (EDGEKV_AGGREGATE_MAX | EDGEKV_AGGREGATE_SUM)) != 0) {
            fail(EDGEKV_E_ARGUMENT, "there are no aggregates %u", aggregates);
        }

        auto scores        = std::make_unique<edgekv_scores>();
        scores->n_layer    = c.cache->n_layer();
        scores->n_head     = c.cache->n_head();
        scores->n_context  = n_context;
        scores->aggregates = aggregates;

        const size_t n = (size_t) scores->n_layer * scores->n_head * n_context;
        if (aggregates & EDGEKV_AGGREGATE_MAX) {
            scores->max.resize(n);
        }
        if (aggregates & EDGEKV_AGGREGATE_SUM) {
            scores->sum.resize(n);
        }
        *out = scores.release();
    });
}

void edgekv_scores_free(edgekv_scores * scores) {
    delete scores;
}

int32_t edgekv_scores_see(edgekv_scores * scores, const int32_t * ranges, size_t n_ranges) {
    return guarded([&] {
        if (!scores || (!ranges && n_ranges > 0)) {
            fail(EDGEKV_E_ARGUMENT, "no %s were given", scores ? "ranges" : "scores");
        }
        std::vector<std::pair<int32_t, int32_t>> checked_ranges;

        int32_t end = 0;
        for (size_t i = 0; i < n_ranges; ++i) {
            const auto [first, last] = std::pair{ ranges[2 * i], ranges[2 * i + 1] };
            if (first < end || last <= first || last > scores->n_context) {
                fail(EDGEKV_E_ARGUMENT, "range %zu, positions %d .. %d, is empty, not after the one before it or not in 0 .. %d", i, first,
                     last - 1, scores->n_context - 1);
            }
            checked_ranges.emplace_back(first, last);
            end = last;
        }
        scores->sees_all = ranges == nullptr;
        scores->ranges   = std::move(checked_ranges);
    });
}

int32_t edgekv_score(edgekv_context * context, edgekv_scores * scores, const int32_t * tokens, int32_t n_tokens, uint64_t bytes_max,
                     edgekv_progress_fn progress, void * user) {
    return guarded([&] {
        edgekv_context & c = checked(context);
        check_tokens(c, tokens, n_tokens);
        if (!scores) {
            fail(EDGEKV_E_ARGUMENT, "no scores were given");
        }
        if (scores->n_layer != c.cache->n_layer() || scores->n_head != c.cache->n_head()) {
            fail(EDGEKV_E_ARGUMENT, "the scores were made for another model");
        }
        c.check_window(n_tokens);

        const int32_t step = tokens_with_weights(c, n_tokens, bytes_max);

        c.cache->begin_scores(*scores);
        try {
            c.feed(tokens, n_tokens, step, EDGEKV_LOGITS_LAST, progress, user,
                   [&](int32_t, int32_t n) { c.cache->collect_scores(*scores, n); });
        } catch (...) {
            c.cache->end_scores();
            throw;
        }
        c.cache->end_scores();
    });
}

int32_t edgekv_score_end(edgekv_context * context) {
    return guarded([&] { checked(context).cache->release_scores(); });
}

int32_t edgekv_eviction_errors(edgekv_context * context, int32_t n_context, const int32_t * counts, const int32_t * positions,
                               size_t n_positions, const int32_t * tokens, int32_t n_tokens, double epsilon, double * errors, size_t count,
                               edgekv_progress_fn progress, void * user) {
    return guarded([&] {
        edgekv_context & c = checked(context);
        check_tokens(c, tokens, n_tokens);
        if (!counts || (!positions && n_positions > 0) || !errors || count != (size_t) c.cache->n_layer()) {
            fail(EDGEKV_E_ARGUMENT, "counts, positions and errors are needed, room for %d errors", c.cache->n_layer());
        }
        if (!(epsilon > 0)) {
            fail(EDGEKV_E_ARGUMENT, "epsilon is %g and must be above 0", epsilon);
        }
        c.check_window(n_tokens);

        std::vector<double> sums(count, 0.0);
        c.cache->begin_eviction(n_context, counts, positions, n_positions);
        try {
            c.feed(tokens, n_tokens, tokens_with_weights(c, n_tokens, 0), EDGEKV_LOGITS_LAST, progress, user,
                   [&](int32_t, int32_t n) { c.cache->collect_eviction(n, epsilon, sums.data()); });
        } catch (...) {
            c.cache->end_eviction();
            throw;
        }
        c.cache->end_eviction();
        std::copy(sums.begin(), sums.end(), errors);
    });
}

const float * edgekv_scores_data(const edgekv_scores * scores, int32_t aggregate) {
    if (!scores) {
        return nullptr;
    }
    const auto & data = aggregate == EDGEKV_AGGREGATE_MAX ? scores->max : scores->sum;
    return data.empty() || (aggregate != EDGEKV_AGGREGATE_MAX && aggregate != EDGEKV_AGGREGATE_SUM) ? nullptr : data.data();
}

int64_t edgekv_scores_queries(const edgekv_scores * scores) {
    return scores ? scores->n_queries : 0;
}

int32_t edgekv_norms(edgekv_context * context, int32_t which, int32_t n_context, float * norms, size_t count) {
    return guarded([&] {
        edgekv_context & c = checked(context);
        if (which != EDGEKV_NORM_K && which != EDGEKV_NORM_V) {
            fail(EDGEKV_E_ARGUMENT, "there is no norm %d", which);
        }
        const size_t needed = n_context > 0 ? (size_t) c.cache->n_layer() * c.cache->n_head_kv() * n_context : 0;
        if (!norms || count != needed) {
            fail(EDGEKV_E_ARGUMENT, "norms need room for %zu numbers, %zu were given", needed, count);
        }
        c.cache->norms(which, n_context, norms);
    });
}

int32_t edgekv_rows(edgekv_context * context, int32_t which, int32_t layer, int32_t first, int32_t n, float * rows, size_t count) {
    return guarded([&] {
        edgekv_context & c = checked(context);
        if (which != EDGEKV_ROW_K && which != EDGEKV_ROW_V) {
            fail(EDGEKV_E_ARGUMENT, "there are no rows %d", which);
        }
        const size_t needed = n > 0 ? (size_t) n * c.cache->n_head_kv() * c.cache->head_size(which) : 0;
        if (!rows || count != needed) {
            fail(EDGEKV_E_ARGUMENT, "rows need room for %zu numbers, %zu were given", needed, count);
        }
        c.cache->rows(which, layer, first, n, rows);
    });
}

//
// plan and cache
//

int32_t edgekv_apply(edgekv_context * context, const int32_t * counts, size_t n_counts, const int32_t * positions, size_t n_positions,
                     uint32_t room, uint32_t align) {
    return guarded([&] {
        edgekv_context & c = checked(context);
        if (!counts || (!positions && n_positions > 0)) {
            fail(EDGEKV_E_ARGUMENT, "no plan was given");
        }
        if (c.position() == 0) {
            fail(EDGEKV_E_STATE, "the cache is empty; feed a context first");
        }
        c.cache->apply(counts, n_counts, positions, n_positions, room, align);
    });
}

int32_t edgekv_cache_get(const edgekv_context * context, int32_t key, int64_t * value) {
    return guarded([&] {
        const edgekv_context & c     = checked(context);
        const compact_cache &  cache = *c.cache;
        if (!value) {
            fail(EDGEKV_E_ARGUMENT, "no place for the value was given");
        }

        switch (key) {
            case EDGEKV_CACHE_COMPACT:
                *value = cache.compact();
                break;
            case EDGEKV_CACHE_BYTES:
                *value = (int64_t) cache.bytes();
                break;
            case EDGEKV_CACHE_ROWS: {
                int64_t rows = 0;
                for (int32_t l = 0; l < cache.n_layer(); ++l) {
                    for (const auto & head : cache.layer(l).heads) {
                        rows += head.n;
                    }
                }
                *value = rows;
                break;
            }
            case EDGEKV_CACHE_ROOM:
                *value = cache.room();
                break;
            case EDGEKV_CACHE_N_CONTEXT:
                *value = cache.n_context();
                break;
            case EDGEKV_CACHE_ROW_BYTES:
                *value = (int64_t) cache.row_bytes();
                break;
            case EDGEKV_CACHE_N_CTX:
                *value = cache.n_ctx();
                break;
            case EDGEKV_CACHE_N_BATCH:
                *value = std::min(llama_n_batch(c.ctx), llama_n_ubatch(c.ctx));
                break;
            default:
                fail(EDGEKV_E_ARGUMENT, "there is no cache key %d", key);
        }
    });
}

int32_t edgekv_cache_rows(const edgekv_context * context, int32_t * rows, int32_t * room, size_t count) {
    return guarded([&] {
        const compact_cache & cache = *checked(context).cache;
        if (!rows || !room || count != (size_t) cache.n_layer() * cache.n_head_kv()) {
            fail(EDGEKV_E_ARGUMENT, "room for %d x %d numbers is needed, %zu were given", cache.n_layer(), cache.n_head_kv(), count);
        }
        for (int32_t l = 0; l < cache.n_layer(); ++l) {
            for (int32_t h = 0; h < cache.n_head_kv(); ++h) {
                const head_rows & head = cache.layer(l).heads[h];
                *rows++                = (int32_t) head.n;
                *room++                = cache.compact() ? (int32_t) (head.capacity - head.n) : (int32_t) cache.n_ctx();
            }
        }
    });
}

int32_t edgekv_cache_positions(const edgekv_context * context, int32_t layer, int32_t head, int32_t * positions, size_t capacity) {
    return guarded([&] {
        const compact_cache & cache = *checked(context).cache;
        if (layer < 0 || layer >= cache.n_layer() || head < 0 || head >= cache.n_head_kv()) {
            fail(EDGEKV_E_ARGUMENT, "layer %d, KV head %d of %d x %d", layer, head, cache.n_layer(), cache.n_head_kv());
        }
        const auto & kept = cache.layer(layer).heads[head].positions;
        if (capacity < kept.size() || (!positions && !kept.empty())) {
            fail(EDGEKV_E_ARGUMENT, "the KV head kept %zu rows, there is room for %zu", kept.size(), capacity);
        }
        std::copy(kept.begin(), kept.end(), positions);
    });
}

int32_t edgekv_state_save(edgekv_context * context, const char * path, const int32_t * tokens, size_t n_tokens) {
    return guarded([&] {
        edgekv_context & c = checked(context);
        if (!path || (!tokens && n_tokens > 0)) {
            fail(EDGEKV_E_ARGUMENT, "no path was given");
        }
        if (!llama_state_save_file(c.ctx, path, tokens, n_tokens)) {
            fail(EDGEKV_E_IO, "the state could not be written to %s: %s", path, llama_error().c_str());
        }
    });
}

int32_t edgekv_state_load(edgekv_context * context, const char * path, int32_t * tokens, size_t capacity, size_t * n_tokens) {
    return guarded([&] {
        edgekv_context & c = checked(context);
        if (!path || (!tokens && capacity > 0)) {
            fail(EDGEKV_E_ARGUMENT, "no path was given");
        }
        size_t n = 0;
        c.cache->forget_learned(0);
        if (!llama_state_load_file(c.ctx, path, tokens, capacity, &n)) {
            const std::string why = llama_error();
            llama_memory_clear(llama_get_memory(c.ctx), true);
            fail(EDGEKV_E_IO, "the state in %s could not be loaded: %s", path, why.c_str());
        }
        if (n_tokens) {
            *n_tokens = n;
        }
    });
}
