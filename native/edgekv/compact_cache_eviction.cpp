// What layers would lose if they kept few rows: their attention over these, beside the one that they hand on.
#include "compact_cache.h"

#include "edgekv.h"

#include <algorithm>

namespace edgekv {

void compact_cache::begin_eviction(int32_t n_context, const int32_t * counts, const int32_t * positions, size_t n_positions) {
    if (m_compact) {
        fail(EDGEKV_E_STATE, "eviction errors need the full cache, and this one is compact; clear the context and feed it again");
    }
    if (ggml_is_quantized(m_type_v)) {
        fail(EDGEKV_E_UNSUPPORTED, "eviction errors are computed from values in f32 or f16, and this cache has %s",
             ggml_type_name(m_type_v));
    }
    require_output_matrix();
    if (n_context < 0 || n_context > position()) {
        fail(EDGEKV_E_ARGUMENT, "a context of %d tokens, and the cache has %d", n_context, position());
    }
    size_t at = 0;
    for (int32_t l = 0; l < n_layer(); ++l) {
        if (counts[l] < 0 || (size_t) counts[l] > n_positions - at) {
            fail(EDGEKV_E_ARGUMENT, "layer %d keeps %d rows, and %zu positions are left", l, counts[l], n_positions - at);
        }
        for (int32_t i = 0; i < counts[l]; ++i, ++at) {
            if (positions[at] < (i > 0 ? positions[at - 1] + 1 : 0) || positions[at] >= n_context) {
                fail(EDGEKV_E_ARGUMENT, "layer %d: position %d is not ascending in 0 .. %d", l, positions[at], n_context - 1);
            }
        }
    }
    if (at != n_positions) {
        fail(EDGEKV_E_ARGUMENT, "%zu positions were given, %zu are counted", n_positions, at);
    }

    m_ctx.synchronize();

    // by cell; the tokens that are about to be fed stay wherever they come to lie
    const auto                 cell_of = cells_by_position(n_context);
    std::vector<device_tensor> kept(m_layers.size());
    std::vector<float>         stays(m_n_ctx);

    at = 0;
    for (int32_t l = 0; l < n_layer(); ++l) {
        std::fill(stays.begin(), stays.end(), 1.0f);
        for (const int32_t cell : cell_of) {
            if (cell >= 0) {
                stays[cell] = 0.0f;
            }
        }
        for (int32_t i = 0; i < counts[l]; ++i, ++at) {
            const int32_t cell = cell_of[positions[at]];
            if (cell < 0) {
                fail(EDGEKV_E_STATE, "position %d is not in the cache", positions[at]);
            }
            stays[cell] = 1.0f;
        }

        const ggml_init_params params = {
            /*.mem_size   =*/ggml_tensor_overhead(),
            /*.mem_buffer =*/nullptr,
            /*.no_alloc   =*/true,
        };
        kept[l].ctx.reset(ggml_init(params));
        kept[l].tensor = ggml_new_tensor_1d(kept[l].ctx.get(), GGML_TYPE_F32, m_n_ctx);
        kept[l].buffer.reset(ggml_backend_alloc_ctx_tensors_from_buft(kept[l].ctx.get(), m_layers[l].buft));
        if (!kept[l].buffer) {
            fail(EDGEKV_E_MEMORY, "memory for what layer %d keeps could not be had from %s", l, ggml_backend_buft_name(m_layers[l].buft));
        }
        ggml_backend_buffer_set_usage(kept[l].buffer.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
        ggml_backend_tensor_set(kept[l].tensor, stays.data(), 0, stays.size() * sizeof(float));
    }

    m_kept_cells = std::move(kept);
    m_eviction_out.assign(m_layers.size(), {});
    m_scoring     = true;
    m_scores_used = true;
    changed();
}

void compact_cache::end_eviction() {
    m_scoring = false;
    if (m_keeps_freed) {
        for (auto & kept : m_kept_cells) {
            m_freed_seen.push_back(std::move(kept));
        }
    }
    m_kept_cells.clear();
    changed();
}

void compact_cache::add_eviction(ggml_context * ctx, ggml_cgraph * gf, ggml_tensor * weights, int32_t l) {
    const llama_layer & layer = m_ctx.get_model().layers[m_layers[l].il];
    const int64_t       n_kv  = weights->ne[0];

    // the softmax over what stays is the one over everything, made to add up to one again; a query always sees itself
    ggml_tensor * kept = ggml_mul(ctx, weights, ggml_view_1d(ctx, m_kept_cells[l].tensor, n_kv, 0));
    kept               = ggml_div(ctx, kept, ggml_clamp(ctx, ggml_sum_rows(ctx, kept), 1e-30f, 2.0f));

    ggml_tensor * storage = m_kv.get_v_storage(m_layers[l].il);
    ggml_tensor * values  = ggml_view_2d(ctx, storage, storage->ne[0], n_kv, storage->nb[1], 0);
    values                = ggml_reshape_3d(ctx, ggml_cast(ctx, values, GGML_TYPE_F32), m_d_v, m_n_head_kv, n_kv);
    values                = ggml_cont(ctx, ggml_permute(ctx, values, 1, 2, 0, 3)); // [n_kv, d, n_head_kv]

    const auto attend = [&](ggml_tensor * w) {
        ggml_tensor * heads = ggml_mul_mat(ctx, values, w); // [d, n_tokens, n_head]
        ggml_mul_mat_set_prec(heads, GGML_PREC_F32);
        return ggml_cont_2d(ctx, ggml_permute(ctx, heads, 0, 2, 1, 3), m_d_v * m_n_head, w->ne[1]);
    };
    const auto norm = [&](ggml_tensor * t) { return ggml_sqrt(ctx, ggml_sum_rows(ctx, ggml_sqr(ctx, t))); };

    // the difference goes through the matrix rather than both: what rounds it is then as small as it is
    ggml_tensor * full       = attend(weights);
    ggml_tensor * difference = ggml_mul_mat(ctx, layer.wo, ggml_sub(ctx, attend(kept), full));
    full                     = ggml_mul_mat(ctx, layer.wo, full);
    if (layer.wo_b) {
        full = ggml_add(ctx, full, layer.wo_b);
    }

    eviction_out & out = m_eviction_out[l];
    out.full           = norm(full);
    out.difference     = norm(difference);
    for (ggml_tensor * t : { out.full, out.difference }) {
        ggml_set_output(t);
        ggml_build_forward_expand(gf, t);
    }
}

void compact_cache::collect_eviction(int32_t n_tokens, double epsilon, double * errors) {
    m_ctx.synchronize();

    std::vector<float> full(n_tokens);
    std::vector<float> difference(n_tokens);
    for (int32_t l = 0; l < n_layer(); ++l) {
        ggml_backend_tensor_get(m_eviction_out[l].full, full.data(), 0, full.size() * sizeof(float));
        ggml_backend_tensor_get(m_eviction_out[l].difference, difference.data(), 0, difference.size() * sizeof(float));
        for (int32_t t = 0; t < n_tokens; ++t) {
            errors[l] += difference[t] / (full[t] + epsilon);
        }
    }
}

} // namespace edgekv
