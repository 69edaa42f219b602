// Learned scores and what they are learned from.
#include "api/call.h"
#include "base/handles.h"
#include "cache/tokens.h"

#include <algorithm>
#include <cmath>

using namespace edgekv;

namespace {

size_t n_learned(const compact_cache & cache, int32_t n) {
    return n > 0 ? cache.geometry().n_heads_kv() * n : 0;
}

} // namespace

int32_t edgekv_score_map_create(const llama_model * model, const float * weights, size_t count, edgekv_score_map ** out) {
    return guarded([&] {
        require(model, "model was");
        require(weights, "weights were");
        require(out, "place for the map was");
        require_supported(*model);
        require_count("the weights of this model's score map", weights, count, score_map::n_weights(*model));
        if (!std::all_of(weights, weights + count, [](float w) { return std::isfinite(w); })) {
            fail(EDGEKV_E_ARGUMENT, "a weight is not a number");
        }

        auto map = std::make_unique<edgekv_score_map>();
        map->map = std::make_shared<const score_map>(*model, weights);
        *out     = map.release();
    });
}

void edgekv_score_map_free(edgekv_score_map * map) {
    delete map;
}

int32_t edgekv_score_map_set(llama_context * ctx, const edgekv_score_map * map) {
    return changing_context(ctx, [&](context_ext & context) { context.learned.set_map(map ? map->map : nullptr); });
}

int32_t edgekv_learned_scores(llama_context * ctx, int32_t first, int32_t n, float * scores, size_t count) {
    return on_context(ctx, [&](context_ext & context) {
        require_count("these scores", scores, count, n_learned(context.cache, n));
        read_learned(context.cache, first, n, scores);
    });
}

int32_t edgekv_learned_known(llama_context * ctx, int32_t first, int32_t n, uint8_t * known) {
    return on_context(ctx, [&](context_ext & context) {
        require(known || n <= 0, "place for what is known was");
        read_learned_known(context.cache, first, n, known);
    });
}

int32_t edgekv_learned_set(llama_context * ctx, int32_t first, int32_t n, const uint8_t * known, const float * scores, size_t count) {
    return changing_context(ctx, [&](context_ext & context) {
        require(known || n <= 0, "list of what is known was");
        require_count("these scores", scores, count, n_learned(context.cache, n));
        set_learned(context.cache, first, n, known, scores);
    });
}

int32_t edgekv_inputs_keep(llama_context * ctx, bool keep) {
    return on_context(ctx, [&](context_ext & context) { context.inputs.keep(keep); });
}

int32_t edgekv_inputs(llama_context * ctx, int32_t layer, float * inputs, size_t count) {
    return on_context(ctx, [&](context_ext & context) {
        require(inputs, "place for the inputs was");
        context.inputs.read(layer, inputs, count);
    });
}
