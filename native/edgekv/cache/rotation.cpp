#include "cache/rotation.h"

#include "base/error.h"
#include "cache/rows.h"
#include "cache/tokens.h"

#include "llama-impl.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace edgekv {

namespace {

float as_float(int32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
}

void rotate_layer(compact_cache & cache, const cache_layer & layer, const rope & rope) {
    const int32_t n_dims      = rope.params[1];
    const int32_t mode        = rope.params[2];
    const int32_t n_ctx_orig  = rope.params[4];
    const float   freq_base   = as_float(rope.params[5]);
    const float   freq_scale  = as_float(rope.params[6]);
    const float   ext_factor  = as_float(rope.params[7]);
    const float   beta_fast   = as_float(rope.params[9]);
    const float   beta_slow   = as_float(rope.params[10]);
    // a key has its length already: YaRN's factor, which ggml brings in by itself, is taken out, and the model's own left out
    const float   attn_factor = ext_factor != 0.0f ? 1.0f / (1.0f + 0.1f * std::log(1.0f / freq_scale)) : 1.0f;

    device_graph   graph("the rotation of keys", 16 * layer.heads.size(), cache.graphs().kept_memory());
    ggml_context * ctx = graph.ctx();

    ggml_tensor * factors = nullptr;
    if (rope.factors) {
        factors = ggml_new_tensor_1d(ctx, GGML_TYPE_F32, rope.factors->ne[0]);
        ggml_set_input(factors);
    }
    ggml_tensor * rotation = cache.kv().build_input_k_rot(ctx);

    std::vector<ggml_tensor *> shifts;
    ggml_tensor * const        keys = layer.storage.k;
    for (const auto & head : layer.heads) {
        ggml_tensor * shift = ggml_new_tensor_1d(ctx, GGML_TYPE_I32, head.n);
        ggml_set_input(shift);
        shifts.push_back(shift);

        ggml_tensor * rows = ggml_view_3d(ctx, keys, layer.shape.d_k, 1, head.n, keys->nb[1], keys->nb[1], head.offset * keys->nb[1]);
        if (!ggml_is_quantized(keys->type)) {
            graph.add(ggml_rope_ext_inplace(ctx, rows, shift, factors, n_dims, mode, n_ctx_orig, freq_base, freq_scale, ext_factor,
                                            attn_factor, beta_fast, beta_slow));
            continue;
        }
        ggml_tensor * cur = ggml_cast(ctx, rows, GGML_TYPE_F32);
        if (rotation) {
            cur = llama_mul_mat_hadamard(ctx, cur, rotation);
        }
        cur = ggml_rope_ext(ctx, cur, shift, factors, n_dims, mode, n_ctx_orig, freq_base, freq_scale, ext_factor, attn_factor, beta_fast,
                            beta_slow);
        if (rotation) {
            cur = llama_mul_mat_hadamard(ctx, cur, rotation);
        }
        graph.add(ggml_cpy(ctx, cur, rows));
    }
    graph.allocate(layer.buft);

    if (factors) {
        std::vector<float> values(ggml_nelements(factors));
        ggml_backend_tensor_get(rope.factors, values.data(), 0, ggml_nbytes(factors));
        ggml_backend_tensor_set(factors, values.data(), 0, ggml_nbytes(factors));
    }
    set_rotation(cache, rotation);

    std::vector<int32_t> by(cache.n_kept());
    for (size_t h = 0; h < shifts.size(); ++h) {
        const auto & positions = layer.heads[h].positions;
        for (size_t i = 0; i < by.size(); ++i) {
            by[i] = (int32_t) i - positions[i];
        }
        ggml_backend_tensor_set(shifts[h], by.data(), 0, by.size() * sizeof(int32_t));
    }
    graph.compute(cache.graphs().backend_of(layer.buft));
}

} // namespace

void close_up_positions(compact_cache & cache, const std::vector<rope> & ropes) {
    if (!cache.compact()) {
        fail(EDGEKV_E_STATE, "positions close up after a plan, and this cache is full");
    }
    if (cache.position() > cache.n_context()) {
        fail(EDGEKV_E_STATE, "%d tokens came since the plan; positions close up before the next token",
             cache.position() - cache.n_context());
    }
    for (const auto & layer : cache.layers()) {
        for (size_t h = 0; h < layer.heads.size(); ++h) {
            if (layer.heads[h].n != cache.n_kept()) {
                fail(EDGEKV_E_STATE,
                     "layer %d of the model, KV head %zu kept %u rows and another one %u; positions close up where all keep equally many",
                     layer.shape.il, h, layer.heads[h].n, cache.n_kept());
            }
        }
    }
    token_records kept = records_by_row(cache);

    cache.ctx().synchronize();
    try {
        for (size_t l = 0; l < ropes.size() && cache.n_kept() > 0; ++l) {
            rotate_layer(cache, cache.layers()[l], ropes[l]);
        }
    } catch (...) {
        cache.kv().clear(true); // some keys are rotated and some are not
        throw;
    }
    cache.tokens().kept = std::move(kept);
    cache.close_up();
}

rotation rotation_of(const rope & rope) {
    const int    n_dims      = rope.params[1];
    const double freq_base   = as_float(rope.params[5]);
    const double freq_scale  = as_float(rope.params[6]);
    const double ext_factor  = as_float(rope.params[7]);
    const double attn_factor = as_float(rope.params[8]);

    std::vector<float> factors((size_t) n_dims / 2, 1.0f);
    if (rope.factors) {
        ggml_backend_tensor_get(rope.factors, factors.data(), 0, factors.size() * sizeof(float));
    }
    float ramp[2];
    ggml_rope_yarn_corr_dims(n_dims, rope.params[4], (float) freq_base, as_float(rope.params[9]), as_float(rope.params[10]), ramp);

    rotation found = { rope.params[2] == GGML_ROPE_TYPE_NEOX ? EDGEKV_ROPE_HALF_SPLIT : EDGEKV_ROPE_ADJACENT, {}, attn_factor };
    if (ext_factor != 0) {
        found.scale *= 1 + 0.1 * std::log(1 / freq_scale); // YaRN's own, as ggml has it
    }
    for (int i = 0; i < n_dims / 2; ++i) {
        const double turn = std::pow(freq_base, -2.0 * i / n_dims) / factors[i];
        const double mix  = ext_factor * (1 - std::clamp((i - ramp[0]) / std::max(0.001, (double) ramp[1] - ramp[0]), 0.0, 1.0));
        found.frequencies.push_back(turn * (freq_scale * (1 - mix) + mix));
    }
    return found;
}

} // namespace edgekv
