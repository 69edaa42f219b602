#include "taps/eviction_errors.h"

#include "cache/rows.h"

#include "llama-batch.h"

#include <algorithm>

namespace edgekv {

void eviction_errors::check(const kept_rows & kept) const {
    m_cache.require_full("eviction errors need");
    if (ggml_is_quantized(m_cache.type(EDGEKV_ROW_V))) {
        fail(EDGEKV_E_UNSUPPORTED, "eviction errors are computed from values in f32 or f16, and this cache has %s",
             ggml_type_name(m_cache.type(EDGEKV_ROW_V)));
    }
    require_output_matrix(m_cache);
    if (kept.n_context < 0 || kept.n_context > m_cache.position()) {
        fail(EDGEKV_E_ARGUMENT, "a context of %d tokens, and the cache has %d", kept.n_context, m_cache.position());
    }
    size_t at = 0;
    for (int32_t l = 0; l < m_cache.geometry().n_layer(); ++l) {
        if (kept.counts[l] < 0 || (size_t) kept.counts[l] > kept.n_positions - at) {
            fail(EDGEKV_E_ARGUMENT, "layer %d keeps %d rows, and %zu positions are left", l, kept.counts[l], kept.n_positions - at);
        }
        for (int32_t i = 0; i < kept.counts[l]; ++i, ++at) {
            const int32_t p = kept.positions[at];
            if (p < (i > 0 ? kept.positions[at - 1] + 1 : 0) || p >= kept.n_context) {
                fail(EDGEKV_E_ARGUMENT, "layer %d: position %d is not ascending in 0 .. %d", l, p, kept.n_context - 1);
            }
        }
    }
    if (at != kept.n_positions) {
        fail(EDGEKV_E_ARGUMENT, "%zu positions were given, %zu are counted", kept.n_positions, at);
    }
}

void eviction_errors::begin(const kept_rows & kept, double epsilon, double * errors) {
    check(kept);
    m_cache.ctx().synchronize();

    // by cell; the tokens that are about to be fed stay wherever they come to lie
    const auto         cell_of = m_cache.cells_by_position(kept.n_context);
    std::vector<float> stays(m_cache.n_ctx());

    forget_kept();
    const int32_t * position = kept.positions;
    for (int32_t l = 0; l < m_cache.geometry().n_layer(); ++l) {
        std::fill(stays.begin(), stays.end(), 1.0f);
        for (const int32_t cell : cell_of) {
            if (cell >= 0) {
                stays[cell] = 0.0f;
            }
        }
        for (int32_t i = 0; i < kept.counts[l]; ++i, ++position) {
            if (cell_of[*position] < 0) {
                fail(EDGEKV_E_STATE, "position %d is not in the cache", *position);
            }
            stays[cell_of[*position]] = 1.0f;
        }
        m_kept.push_back(new_weights(m_cache.layer(l).buft, m_cache.n_ctx(), 1, stays, "what a layer keeps"));
    }

    m_epsilon = epsilon;
    m_errors  = errors;
    m_cache.graphs().pass_took_memory();
    m_cache.graphs().changed();
}

void eviction_errors::end() {
    m_errors = nullptr;
    forget_kept();
    m_cache.graphs().changed();
}

void eviction_errors::forget_kept() {
    for (auto & kept : m_kept) {
        m_cache.graphs().drop(std::move(kept));
    }
    m_kept.clear();
}

void eviction_errors::add_weights(const graph_part & part, ggml_tensor * weights) {
    ggml_context *      ctx   = part.ctx;
    const layer_shape & shape = m_cache.layer(part.layer).shape;
    const llama_layer & layer = m_cache.ctx().get_model().layers[shape.il];
    const int64_t       n_kv  = weights->ne[0];

    // the softmax over what stays is the one over everything, made to add up to one again; a query always sees itself
    ggml_tensor * kept = ggml_mul(ctx, weights, ggml_view_1d(ctx, m_kept[part.layer].tensor, n_kv, 0));
    kept               = ggml_div(ctx, kept, ggml_clamp(ctx, ggml_sum_rows(ctx, kept), 1e-30f, 2.0f));

    ggml_tensor * storage = m_cache.kv().get_v_storage(shape.il);
    ggml_tensor * values  = ggml_view_2d(ctx, storage, storage->ne[0], n_kv, storage->nb[1], 0);
    values                = ggml_reshape_3d(ctx, ggml_cast(ctx, values, GGML_TYPE_F32), shape.d_v, shape.n_head_kv, n_kv);
    values                = ggml_cont(ctx, ggml_permute(ctx, values, 1, 2, 0, 3)); // [n_kv, d, n_head_kv]

    const auto attend = [&](ggml_tensor * w) {
        ggml_tensor * heads = ggml_mul_mat(ctx, values, w); // [d, n_tokens, n_head]
        ggml_mul_mat_set_prec(heads, GGML_PREC_F32);
        return ggml_cont_2d(ctx, ggml_permute(ctx, heads, 0, 2, 1, 3), shape.d_v * shape.n_head, w->ne[1]);
    };
    const auto norm = [&](ggml_tensor * t) { return ggml_sqrt(ctx, ggml_sum_rows(ctx, ggml_sqr(ctx, t))); };

    // the difference goes through the matrix rather than both: what rounds it is then as small as it is
    ggml_tensor * full       = attend(weights);
    ggml_tensor * difference = ggml_mul_mat(ctx, layer.wo, ggml_sub(ctx, attend(kept), full));
    full                     = ggml_mul_mat(ctx, layer.wo, full);
    if (layer.wo_b) {
        full = ggml_add(ctx, full, layer.wo_b);
    }

    layer_out & out = m_out[part.layer];
    out.full        = norm(full);
    out.difference  = norm(difference);
    part.add(out.full);
    part.add(out.difference);
}

void eviction_errors::collect(const llama_ubatch & ubatch, const uint32_t *) {
    std::vector<float> full(ubatch.n_tokens);
    std::vector<float> difference(ubatch.n_tokens);
    for (size_t l = 0; l < m_out.size(); ++l) {
        ggml_backend_tensor_get(m_out[l].full, full.data(), 0, full.size() * sizeof(float));
        ggml_backend_tensor_get(m_out[l].difference, difference.data(), 0, difference.size() * sizeof(float));
        for (size_t t = 0; t < full.size(); ++t) {
            m_errors[l] += difference[t] / (full[t] + m_epsilon);
        }
    }
}

} // namespace edgekv
