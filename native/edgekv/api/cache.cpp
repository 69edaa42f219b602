// Plans, and what the cache is.
#include "api/call.h"
#include "cache/apply.h"
#include "cache/merge.h"
#include "context/feed.h"

#include <algorithm>

using namespace edgekv;

int32_t edgekv_merge(llama_context * ctx, int32_t layer, int32_t head, const int32_t * dropped, const int32_t * kept, const float * weights,
                     size_t n) {
    return changing_context(ctx, [&](context_ext & context) {
        require(n == 0 || (dropped && kept), "positions were");
        require(n == 0 || weights, "weights were");
        merge_values(context.cache, layer, head, dropped, kept, weights, n);
    });
}

int32_t edgekv_apply(llama_context * ctx, const int32_t * counts, size_t n_counts, const int32_t * positions, size_t n_positions,
                     uint32_t room, uint32_t align) {
    return changing_context(ctx, [&](context_ext & context) {
        require(counts && (positions || n_positions == 0), "plan was");
        if (context.cache.position() == 0) {
            fail(EDGEKV_E_STATE, "the cache is empty; feed a context first");
        }
        apply_plan(context.cache, { counts, n_counts, positions, n_positions }, room, align);
    });
}

int32_t edgekv_rerotate(llama_context * ctx) {
    return changing_context(ctx, [](context_ext & context) { close_up_positions(context.cache, context.ropes.ropes()); });
}

int32_t edgekv_cache_get(llama_context * ctx, int32_t key, int64_t * value) {
    return on_any_context(ctx, [&](context_ext & context) {
        const compact_cache & cache = context.cache;
        require(value, "place for the value was");

        switch (key) {
            case EDGEKV_CACHE_COMPACT:
                *value = cache.compact();
                break;
            case EDGEKV_CACHE_BYTES:
                *value = (int64_t) cache.bytes();
                break;
            case EDGEKV_CACHE_ROWS:
                *value = cache.n_rows();
                break;
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
                *value = tokens_per_batch(context);
                break;
            case EDGEKV_CACHE_POSITION:
                *value = cache.position();
                break;
            case EDGEKV_CACHE_SEQUENCES:
                *value = cache.n_sequences();
                break;
            case EDGEKV_CACHE_CHANGES:
                *value = context.changes();
                break;
            case EDGEKV_CACHE_FAULT:
                set_last_error(context.fault());
                *value = !context.fault().empty();
                break;
            case EDGEKV_CACHE_ON_DEVICE:
                *value = cache.on_device();
                break;
            case EDGEKV_CACHE_TYPE_K:
                *value = cache.type(EDGEKV_ROW_K);
                break;
            case EDGEKV_CACHE_TYPE_V:
                *value = cache.type(EDGEKV_ROW_V);
                break;
            case EDGEKV_CACHE_LEARNS:
                *value = context.learned.active();
                break;
            default:
                fail(EDGEKV_E_ARGUMENT, "there is no cache key %d", key);
        }
    });
}

int32_t edgekv_cache_rows(llama_context * ctx, int32_t * rows, int32_t * room, size_t count) {
    return on_context(ctx, [&](context_ext & context) {
        const compact_cache & cache = context.cache;
        if (!rows || !room || count != cache.geometry().n_heads_kv()) {
            fail(EDGEKV_E_ARGUMENT, "room for the numbers of %zu KV heads is needed, %zu were given", cache.geometry().n_heads_kv(), count);
        }
        for (const auto & cache_layer : cache.layers()) {
            for (const head_rows & head : cache_layer.heads) {
                *rows++ = (int32_t) head.n;
                *room++ = cache.compact() ? (int32_t) (head.capacity - head.n) : (int32_t) cache.n_ctx();
            }
        }
    });
}

int32_t edgekv_cache_positions(llama_context * ctx, int32_t layer, int32_t head, int32_t * positions, size_t capacity) {
    return on_context(ctx, [&](context_ext & context) {
        const compact_cache & cache = context.cache;
        const layer_shape &   shape = cache.geometry().layer(layer);
        if (head < 0 || head >= shape.n_head_kv) {
            fail(EDGEKV_E_ARGUMENT, "there is no KV head %d in layer %d, which has %d", head, layer, shape.n_head_kv);
        }
        const auto & kept = cache.layer(layer).heads[head].positions;
        if (capacity < kept.size() || (!positions && !kept.empty())) {
            fail(EDGEKV_E_ARGUMENT, "the KV head kept %zu rows, there is room for %zu", kept.size(), capacity);
        }
        std::copy(kept.begin(), kept.end(), positions);
    });
}
