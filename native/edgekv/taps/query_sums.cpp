#include "taps/query_sums.h"

#include "ggml-backend.h"
#include "llama-batch.h"

#include <algorithm>

namespace edgekv {

void query_sums::keep(bool keep, int32_t first) {
    if (keep && first < 0) {
        fail(EDGEKV_E_ARGUMENT, "queries from position %d on", first);
    }
    m_sums.clear();
    m_n_tokens = 0;
    if (!keep) {
        if (m_keeps) {
            m_keeps = false;
            m_cache.graphs().changed();
            m_cache.graphs().reserve(); // what the sums took
        }
        return;
    }

    for (const layer_shape & shape : m_cache.geometry().layers()) {
        const size_t d = (size_t) shape.d_k;
        const size_t q = shape.n_head * d;
        const size_t k = shape.n_head_kv * d;
        m_sums.emplace_back();
        for (const size_t size : { q, q * d, k, q, q * d }) {
            m_sums.back().emplace_back(size, 0.0);
        }
    }
    m_keeps = true;
    m_first = first;
    m_skip  = 0;
    m_out.assign(m_cache.layers().size(), {});
    m_cache.graphs().changed();
    require_in_every_layer(
        m_cache, [&](int32_t l) { return m_out[l].found; }, [&] { m_keeps = false; },
        "rotate the queries and keys of every layer (RoPE) as the last thing, so there are none before");
}

void query_sums::begin_ubatch(const llama_ubatch & ubatch) {
    int32_t skip = 0;
    while (skip < (int32_t) ubatch.n_tokens && ubatch.pos[skip] < m_first) {
        ++skip;
    }
    if (skip != m_skip) {
        m_skip = skip;
        m_cache.graphs().changed();
    }
}

void query_sums::add_heads(const graph_part & part, const graph_heads & heads) {
    layer_out & out = m_out[part.layer];
    out             = {};
    if (!heads.rope_q || !heads.rope_k) {
        return;
    }
    out.found = true;

    const int64_t skip = std::min<int64_t>(m_skip, heads.q->ne[2]);
    if (skip == heads.q->ne[2]) {
        return;
    }
    ggml_context * ctx = part.ctx;

    // [n_tokens, d, heads]
    const auto by_channel = [&](ggml_tensor * t) {
        t = ggml_view_3d(ctx, t, t->ne[0], t->ne[1], t->ne[2] - skip, t->nb[1], t->nb[2], skip * t->nb[2]);
        return ggml_cont(ctx, ggml_permute(ctx, t, 1, 2, 0, 3));
    };
    const auto products = [&](ggml_tensor * channels) {
        ggml_tensor * t = ggml_mul_mat(ctx, channels, channels);
        ggml_mul_mat_set_prec(t, GGML_PREC_F32);
        return t;
    };
    ggml_tensor * channels = by_channel(heads.rope_q->src[0]);
    ggml_tensor * rotated  = by_channel(const_cast<ggml_tensor *>(heads.rope_q));

    out.sums[EDGEKV_QUERIES_Q]          = ggml_sum_rows(ctx, channels);
    out.sums[EDGEKV_QUERIES_QQ]         = products(channels);
    out.sums[EDGEKV_QUERIES_K]          = ggml_sum_rows(ctx, by_channel(heads.rope_k->src[0]));
    out.sums[EDGEKV_QUERIES_Q_ROTATED]  = ggml_sum_rows(ctx, rotated);
    out.sums[EDGEKV_QUERIES_QQ_ROTATED] = products(rotated);
    for (ggml_tensor * t : out.sums) {
        part.add(t);
    }
}

void query_sums::collect(const llama_ubatch & ubatch, const uint32_t *) {
    if (m_skip >= (int32_t) ubatch.n_tokens) {
        return;
    }
    for (size_t l = 0; l < m_out.size(); ++l) {
        for (int which = 0; which < N_SUMS; ++which) {
            std::vector<double> & to = m_sums[l][which];
            m_scratch.resize(to.size());
            ggml_backend_tensor_get(m_out[l].sums[which], m_scratch.data(), 0, to.size() * sizeof(float));
            std::transform(to.begin(), to.end(), m_scratch.begin(), to.begin(), [](double sum, float x) { return sum + x; });
        }
    }
    m_n_tokens += (int32_t) ubatch.n_tokens - m_skip;
}

void query_sums::read(int32_t which, int32_t layer, double * out, size_t count) const {
    m_cache.geometry().layer(layer);
    if (!m_keeps) {
        fail(EDGEKV_E_STATE, "no queries are kept: ask for them before decoding");
    }
    const std::vector<double> & sum = m_sums[layer][which];
    if (count != sum.size()) {
        fail(EDGEKV_E_ARGUMENT, "the sums of layer %d are %zu numbers, room was given for %zu", layer, sum.size(), count);
    }
    std::copy(sum.begin(), sum.end(), out);
}

} // namespace edgekv
