// Queries and keys before RoPE: their sums while tokens are decoded, and how the model rotates them.
#include "compact_cache.h"

#include "objects.h"

#include <algorithm>
#include <cstring>

namespace edgekv {

namespace {

// The rotation of what a model's attention is given, null when it is not rotated, or more than scaled afterwards.
const ggml_tensor * rope_of(const ggml_tensor * t) {
    const ggml_tensor * found = t;
    while (found->op == GGML_OP_RESHAPE || found->op == GGML_OP_CONT || found->op == GGML_OP_SCALE) {
        found = found->src[0];
    }
    return found->op == GGML_OP_ROPE && std::equal(t->ne, t->ne + GGML_MAX_DIMS, found->ne) ? found : nullptr;
}

} // namespace

void compact_cache::add_heads(ggml_context * ctx, ggml_cgraph * gf, ggml_tensor * q, ggml_tensor * k, int32_t il) {
    if (il >= (int32_t) m_layer_of.size() || m_layer_of[il] < 0) {
        return;
    }
    const int32_t       l      = m_layer_of[il];
    const ggml_tensor * rope_q = rope_of(q);
    const ggml_tensor * rope_k = rope_of(k);

    rope & known = m_ropes[l];
    known        = {};
    if (rope_k) {
        const ggml_tensor * factors = rope_k->src[2];

        known.found   = !factors || (factors->op == GGML_OP_NONE && factors->buffer); // else they are gone with this graph
        known.factors = factors;
        std::memcpy(known.params, rope_k->op_params, sizeof(known.params));
    }

    if (m_block_tokens > 0) {
        add_blocks(ctx, gf, rope_q, rope_k, l);
    }
    if (!m_keep_queries) {
        return;
    }
    query_sums_out & out = m_query_out[l];
    out                  = {};
    if (!rope_q || !rope_k) {
        return;
    }
    out.found = true;

    const int64_t skip = std::min<int64_t>(m_query_skip, q->ne[2]);
    if (skip == q->ne[2]) {
        return;
    }
    // [n_tokens, d, heads]
    const auto by_channel = [&](ggml_tensor * t) {
        t = ggml_view_3d(ctx, t, t->ne[0], t->ne[1], t->ne[2] - skip, t->nb[1], t->nb[2], skip * t->nb[2]);
        return ggml_cont(ctx, ggml_permute(ctx, t, 1, 2, 0, 3));
    };
    ggml_tensor * channels = by_channel(rope_q->src[0]);
    ggml_tensor * rotated  = by_channel(const_cast<ggml_tensor *>(rope_q));

    out.q          = ggml_sum_rows(ctx, channels);
    out.qq         = ggml_mul_mat(ctx, channels, channels);
    out.k          = ggml_sum_rows(ctx, by_channel(rope_k->src[0]));
    out.rotated_q  = ggml_sum_rows(ctx, rotated);
    out.rotated_qq = ggml_mul_mat(ctx, rotated, rotated);
    ggml_mul_mat_set_prec(out.qq, GGML_PREC_F32);
    ggml_mul_mat_set_prec(out.rotated_qq, GGML_PREC_F32);

    for (ggml_tensor * t : { out.q, out.qq, out.k, out.rotated_q, out.rotated_qq }) {
        ggml_set_output(t);
        ggml_build_forward_expand(gf, t);
    }
}

void compact_cache::keep_queries(bool keep, int32_t first) {
    if (keep && first < 0) {
        fail(EDGEKV_E_ARGUMENT, "queries from position %d on", first);
    }
    m_query_sums.clear();
    m_n_queries = 0;
    if (!keep) {
        if (m_keep_queries) {
            m_keep_queries = false;
            changed();
            reserve(); // what the sums took
        }
        return;
    }

    const size_t d = (size_t) m_d_k;
    m_query_sums.resize(m_layers.size());
    for (auto & sums : m_query_sums) {
        sums.q.assign(m_n_head * d, 0.0);
        sums.qq.assign(m_n_head * d * d, 0.0);
        sums.k.assign(m_n_head_kv * d, 0.0);
        sums.rotated_q.assign(m_n_head * d, 0.0);
        sums.rotated_qq.assign(m_n_head * d * d, 0.0);
    }

    m_keep_queries = true;
    m_query_first  = first;
    m_query_skip   = 0;
    m_query_out.assign(m_layers.size(), {});
    changed();
    reserve();
    m_ctx.sched_reserve();

    const auto missing = std::find_if(m_query_out.begin(), m_query_out.end(), [](const query_sums_out & out) { return !out.found; });
    if (missing != m_query_out.end()) {
        const int l = (int) (missing - m_query_out.begin());
        keep_queries(false, 0);
        fail(EDGEKV_E_UNSUPPORTED, "%s does not rotate the queries and keys of layer %d (RoPE) as the last thing, so there are none before",
             m_ctx.get_model().arch_name().c_str(), l);
    }
}

void compact_cache::prepare_queries(int32_t start, int32_t n_tokens) {
    const int32_t skip = std::clamp(m_query_first - start, 0, n_tokens);
    if (m_keep_queries && skip != m_query_skip) {
        m_query_skip = skip;
        changed();
    }
}

void compact_cache::collect_queries(int32_t n_tokens) {
    if (!m_keep_queries || m_query_skip >= n_tokens) {
        return;
    }
    const auto add = [&](const ggml_tensor * from, std::vector<double> & to) {
        m_query_scratch.resize(to.size());
        ggml_backend_tensor_get(from, m_query_scratch.data(), 0, to.size() * sizeof(float));
        std::transform(to.begin(), to.end(), m_query_scratch.begin(), to.begin(), [](double sum, float x) { return sum + x; });
    };
    for (size_t l = 0; l < m_layers.size(); ++l) {
        add(m_query_out[l].q, m_query_sums[l].q);
        add(m_query_out[l].qq, m_query_sums[l].qq);
        add(m_query_out[l].k, m_query_sums[l].k);
        add(m_query_out[l].rotated_q, m_query_sums[l].rotated_q);
        add(m_query_out[l].rotated_qq, m_query_sums[l].rotated_qq);
    }
    m_n_queries += n_tokens - m_query_skip;
}

void compact_cache::queries(int32_t which, int32_t layer, double * out, size_t count) const {
    if (layer < 0 || layer >= n_layer()) {
        fail(EDGEKV_E_ARGUMENT, "there is no layer %d, the model has %d", layer, n_layer());
    }
    if (!m_keep_queries) {
        fail(EDGEKV_E_STATE, "no queries are kept: ask for them before decoding");
    }
    const query_sums &          sums      = m_query_sums[layer];
    const std::vector<double> * by_name[] = { &sums.q, &sums.qq, &sums.k, &sums.rotated_q, &sums.rotated_qq };
    const std::vector<double> & sum       = *by_name[which];
    if (count != sum.size()) {
        fail(EDGEKV_E_ARGUMENT, "the sums of layer %d are %zu numbers, room was given for %zu", layer, sum.size(), count);
    }
    std::copy(sum.begin(), sum.end(), out);
}

} // namespace edgekv

using namespace edgekv;

int32_t edgekv_queries_keep(edgekv_context * context, bool keep, int32_t first) {
    return guarded([&] {
        if (!context) {
            fail(EDGEKV_E_ARGUMENT, "no context was given");
        }
        context->cache->keep_queries(keep, first);
    });
}

int32_t edgekv_queries(const edgekv_context * context, int32_t which, int32_t layer, double * sums, size_t count) {
    return guarded([&] {
        if (!context || !sums) {
            fail(EDGEKV_E_ARGUMENT, "no %s given", !context ? "context was" : "place for the sums was");
        }
        if (which < EDGEKV_QUERIES_Q || which > EDGEKV_QUERIES_QQ_ROTATED) {
            fail(EDGEKV_E_ARGUMENT, "there is no sum %d", which);
        }
        context->cache->queries(which, layer, sums, count);
    });
}

int64_t edgekv_queries_count(const edgekv_context * context) {
    return context ? context->cache->n_queries() : 0;
}
