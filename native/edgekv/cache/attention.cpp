#include "cache/attention.h"

#include "base/error.h"

#include <algorithm>

namespace edgekv {

compact_attention::compact_attention(compact_cache & cache) : m_cache(cache) {
    for (size_t l = 0; l < cache.layers().size(); ++l) {
        m_kernels.push_back(std::make_unique<decode_attention>());
    }
    set_kernel(EDGEKV_ATTENTION_AUTO);
}

void compact_attention::set_kernel(int32_t kernel) {
    switch (kernel) {
        case EDGEKV_ATTENTION_AUTO:
            m_own_kernel = !ggml_is_quantized(m_cache.type(EDGEKV_ROW_K)) && !ggml_is_quantized(m_cache.type(EDGEKV_ROW_V));
            break;
        case EDGEKV_ATTENTION_EDGEKV:
            m_own_kernel = true;
            break;
        case EDGEKV_ATTENTION_LLAMA:
            m_own_kernel = false;
            break;
        default:
            fail(EDGEKV_E_ARGUMENT, "there is no attention kernel %d", kernel);
    }
    m_cache.graphs().changed();
}

uint32_t compact_attention::n_nodes() const {
    // per run of heads: views and permutations of Q, K, V, the mask, the call, the concatenation; per layer: storing
    return 10 * (uint32_t) m_cache.layers().size() + 16 * (uint32_t) m_cache.geometry().n_heads_kv();
}

ggml_tensor * compact_attention::build_idxs(ggml_context * ctx, uint32_t n_tokens) {
    m_graph_idxs.clear();
    m_graph_masks.clear();

    // a layer's indices start where a kernel can bind them
    const int64_t n = round_up<int64_t>((int64_t) n_tokens * m_cache.geometry().max_heads_kv(), DEVICE_OFFSET_ALIGNMENT / sizeof(int32_t));

    ggml_tensor * idxs = ggml_new_tensor_2d(ctx, GGML_TYPE_I32, n, m_cache.geometry().n_layer());
    ggml_set_input(idxs);
    return idxs;
}

void compact_attention::set_idxs(ggml_tensor * idxs, const uint32_t * cells, uint32_t n_tokens) const {
    m_scratch.resize(ggml_nelements(idxs));

    int32_t * first = m_scratch.data();
    for (const auto & layer : m_cache.layers()) {
        int32_t * row = first;
        for (uint32_t t = 0; t < n_tokens; ++t) {
            for (const auto & head : layer.heads) {
                *row++ = (int32_t) (head.offset + head.n + cells[t] - m_cache.n_kept());
            }
        }
        first += idxs->ne[0];
    }
    ggml_backend_tensor_set(idxs, m_scratch.data(), 0, ggml_nbytes(idxs));
}

ggml_tensor * compact_attention::store(ggml_context * ctx, ggml_tensor * target, ggml_tensor * cur, ggml_tensor * idxs, int32_t layer) {
    const int64_t n_rows = cur->ne[1] * cur->ne[2];

    if (!ggml_is_contiguous(cur)) {
        cur = ggml_cont(ctx, cur);
    }
    cur = ggml_reshape_2d(ctx, cur, cur->ne[0], n_rows);

    if (!m_cache.layer(layer).host) {
        // views of a host input would be copied to the device one by one
        ggml_tensor *& copy = m_graph_idxs[idxs];
        if (!copy) {
            copy = ggml_cont(ctx, idxs);
        }
        idxs = copy;
    }
    idxs = ggml_view_1d(ctx, idxs, n_rows, layer * idxs->nb[1]);

    return ggml_set_rows(ctx, target, cur, idxs);
}

decode_attention * compact_attention::own_kernel(int32_t l, const ggml_tensor * q, const ggml_tensor * mask) {
    const cache_layer & layer = m_cache.layer(l);
    if (!m_own_kernel || !layer.host || q->ne[2] != 1 || mask->type != GGML_TYPE_F16 ||
        !decode_attention::supports(layer.type_k, layer.type_v, layer.shape.d_k, layer.shape.d_v)) {
        return nullptr;
    }

    // below so many rows a thread costs more than it does
    constexpr int64_t ROWS_PER_THREAD = 64;

    decode_attention & op = *m_kernels[l];

    int64_t n_rows = 0;
    op.heads.clear();
    for (const auto & head : layer.heads) {
        op.heads.push_back({ head.offset, head.n });
        n_rows += head.n;
    }
    op.n_kept  = m_cache.n_kept();
    op.n_group = layer.shape.n_group();
    op.d_k     = layer.shape.d_k;
    op.d_v     = layer.shape.d_v;
    op.n_parts = (int32_t) std::clamp<int64_t>(n_rows / ROWS_PER_THREAD, 1, m_cache.ctx().get_cparams().n_threads);

    return &op;
}

ggml_tensor * compact_attention::mask_for(ggml_context * ctx, ggml_tensor * mask, uint32_t n, bool host) {
    const int64_t first = m_cache.n_kept() - n;
    if (first == 0) {
        return mask;
    }
    ggml_tensor *& part = m_graph_masks[n];
    if (!part) {
        part = ggml_view_2d(ctx, mask, mask->ne[0] - first, mask->ne[1], mask->nb[1], first * mask->nb[0]);
        // kernels want it contiguous, which one row is; GPU kernels do not take views of it
        if (mask->ne[1] > 1 || !host) {
            part = ggml_cont(ctx, part);
        }
    }
    return part;
}

ggml_tensor * compact_attention::attend(ggml_context * ctx, ggml_tensor * q, ggml_tensor * mask, ggml_tensor * sinks, float scale,
                                        float softcap, int32_t l) {
    const cache_layer & layer = m_cache.layer(l);

    if (decode_attention * own = own_kernel(l, q, mask)) {
        own->scale   = scale;
        own->softcap = softcap;
        return own->build(ctx, q, layer.storage.k, layer.storage.v, mask, sinks);
    }

    const int32_t n_head_kv = layer.shape.n_head_kv;
    const int64_t n_group   = layer.shape.n_group();
    const int64_t n_tokens  = q->ne[2];
    const int64_t n_room    = mask->ne[0] - m_cache.n_kept(); // rows behind the kept ones that the mask covers

    ggml_tensor * result = nullptr;

    for (int32_t h = 0; h < n_head_kv;) {
        const head_rows & head = layer.heads[h];

        // neighbours with equal counts share a call
        int32_t end = h + 1;
        while (end < n_head_kv && layer.heads[end].n == head.n && layer.heads[end].capacity == head.capacity) {
            ++end;
        }
        const int64_t n_run = end - h;

        const auto rows_of = [&](ggml_tensor * t) {
            return ggml_view_3d(ctx, t, t->ne[0], head.n + n_room, n_run, t->nb[1], head.capacity * t->nb[1], head.offset * t->nb[1]);
        };

        ggml_tensor * q_run = q;
        if (n_run < n_head_kv) {
            q_run = ggml_view_3d(ctx, q, q->ne[0], n_run * n_group, n_tokens, q->nb[1], q->nb[2], h * n_group * q->nb[1]);
            if (!layer.host && h * n_group * q->nb[1] % DEVICE_OFFSET_ALIGNMENT != 0) {
                q_run = ggml_cont(ctx, q_run);
            }
        }
        q_run = ggml_permute(ctx, q_run, 0, 2, 1, 3);

        ggml_tensor * out = ggml_flash_attn_ext(ctx, q_run, rows_of(layer.storage.k), rows_of(layer.storage.v),
                                                mask_for(ctx, mask, head.n, layer.host), scale, 0.0f, softcap);
        ggml_flash_attn_ext_set_prec(out, GGML_PREC_F32);
        if (sinks) {
            ggml_flash_attn_ext_add_sinks(out, n_run < n_head_kv ? ggml_view_1d(ctx, sinks, n_run * n_group, h * n_group * sinks->nb[0])
                                                                 : sinks);
        }

        result = result ? ggml_concat(ctx, result, out, 1) : out;
        h      = end;
    }

    return ggml_reshape_2d(ctx, result, result->ne[0] * result->ne[1], n_tokens);
}

} // namespace edgekv
