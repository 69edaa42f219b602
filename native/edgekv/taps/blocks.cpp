#include "taps/blocks.h"

#include "ggml-backend.h"
#include "llama-batch.h"

#include <algorithm>

namespace edgekv {

void block_attention::keep(int32_t block) {
    if (block < 0) {
        fail(EDGEKV_E_ARGUMENT, "blocks of %d tokens", block);
    }
    if (block == m_block) {
        return;
    }
    m_block = block;
    m_out.assign(m_cache.layers().size(), {});
    m_sums.assign(m_cache.layers().size(), {});
    m_cache.graphs().changed();
    m_cache.graphs().reserve();
    if (block > 0) {
        require_in_every_layer(
            m_cache, [&](int32_t l) { return m_out[l].found; }, [&] { m_block = 0; },
            "rotate the queries and keys of every layer (RoPE) as the last thing, so they are not known here");
    }
}

ggml_tensor * block_attention::attend(const graph_part & part, const graph_heads & heads, int64_t first, int64_t size, int64_t n) {
    if (size * n == 0) {
        return nullptr;
    }
    ggml_context * ctx = part.ctx;

    // [d, size, heads, n]
    const auto by_head = [&](const ggml_tensor * t) {
        ggml_tensor * blocks = ggml_view_4d(ctx, const_cast<ggml_tensor *>(t), t->ne[0], t->ne[1], size, n, t->nb[1], t->nb[2],
                                            size * t->nb[2], first * t->nb[2]);
        return ggml_cont(ctx, ggml_permute(ctx, blocks, 0, 2, 1, 3));
    };
    ggml_tensor * weights = ggml_mul_mat(ctx, by_head(heads.rope_k), by_head(heads.rope_q)); // [keys, queries, n_head, n]
    ggml_mul_mat_set_prec(weights, GGML_PREC_F32);
    weights = ggml_soft_max(ctx, weights);

    ggml_tensor * sums = ggml_sum_rows(ctx, ggml_cont(ctx, ggml_permute(ctx, weights, 1, 0, 2, 3)));
    part.add(sums);
    return sums;
}

void block_attention::add_heads(const graph_part & part, const graph_heads & heads) {
    layer_out & out = m_out[part.layer];
    out             = {};
    if (!heads.rope_q || !heads.rope_k) {
        return;
    }
    const int64_t n_tokens = heads.q->ne[2];
    const int64_t n_blocks = n_tokens / m_block;
    const int64_t n_whole  = n_blocks * m_block;

    out.found = true;
    out.whole = attend(part, heads, 0, m_block, n_blocks);
    out.rest  = attend(part, heads, n_whole, n_tokens - n_whole, 1);
}

void block_attention::begin_batch() {
    for (auto & sums : m_sums) {
        sums.clear();
    }
}

void block_attention::append(const ggml_tensor * sums, std::vector<float> & by_token) {
    const int64_t size   = sums->ne[1];
    const int64_t n_head = sums->ne[2];

    m_scratch.resize((size_t) ggml_nelements(sums));
    ggml_backend_tensor_get(sums, m_scratch.data(), 0, ggml_nbytes(sums));

    const float * from = m_scratch.data();
    for (int64_t block = 0; block < sums->ne[3]; ++block) {
        const size_t start = by_token.size();
        by_token.resize(start + size * n_head);
        for (int64_t head = 0; head < n_head; ++head) {
            for (int64_t t = 0; t < size; ++t) {
                by_token[start + t * n_head + head] = *from++;
            }
        }
    }
}

void block_attention::collect(const llama_ubatch &, const uint32_t *) {
    for (size_t l = 0; l < m_out.size(); ++l) {
        for (const ggml_tensor * sums : { m_out[l].whole, m_out[l].rest }) {
            if (sums) {
                append(sums, m_sums[l]);
            }
        }
    }
}

void block_attention::read(int32_t layer, float * out, size_t count) const {
    const size_t n_head = m_cache.geometry().layer(layer).n_head;
    if (m_block == 0 || m_sums[layer].empty()) {
        fail(EDGEKV_E_STATE, "no attention inside blocks is kept: ask for it before decoding");
    }
    const std::vector<float> & by_token = m_sums[layer];
    const size_t               n_tokens = by_token.size() / n_head;
    if (count != by_token.size()) {
        fail(EDGEKV_E_ARGUMENT, "the sums of %zu tokens are %zu numbers, room was given for %zu", n_tokens, by_token.size(), count);
    }
    for (size_t t = 0; t < n_tokens; ++t) {
        for (size_t h = 0; h < n_head; ++h) {
            out[h * n_tokens + t] = by_token[t * n_head + h];
        }
    }
}

} // namespace edgekv
