// Attention without causality inside blocks of the tokens that are being decoded.
#include "compact_cache.h"

#include "objects.h"

#include "ggml-backend.h"

#include <algorithm>

namespace edgekv {

void compact_cache::add_blocks(ggml_context * ctx, ggml_cgraph * gf, const ggml_tensor * rope_q, const ggml_tensor * rope_k, int32_t l) {
    blocks_out & out = m_blocks_out[l];
    out              = {};
    if (!rope_q || !rope_k) {
        return;
    }
    out.found = true;

    const int64_t n_tokens = rope_q->ne[2];
    const int64_t n_blocks = n_tokens / m_block_tokens;
    const int64_t n_whole  = n_blocks * m_block_tokens;

    // n blocks of size tokens each, the first token of them being first
    const auto attend = [&](int64_t first, int64_t size, int64_t n) -> ggml_tensor * {
        if (size * n == 0) {
            return nullptr;
        }
        // [d, size, heads, n]
        const auto by_head = [&](const ggml_tensor * t) {
            ggml_tensor * blocks = ggml_view_4d(ctx, const_cast<ggml_tensor *>(t), t->ne[0], t->ne[1], size, n, t->nb[1], t->nb[2],
                                                size * t->nb[2], first * t->nb[2]);
            return ggml_cont(ctx, ggml_permute(ctx, blocks, 0, 2, 1, 3));
        };
        ggml_tensor * weights = ggml_mul_mat(ctx, by_head(rope_k), by_head(rope_q)); // [keys, queries, n_head, n]
        ggml_mul_mat_set_prec(weights, GGML_PREC_F32);
        weights = ggml_soft_max(ctx, weights);

        ggml_tensor * sums = ggml_sum_rows(ctx, ggml_cont(ctx, ggml_permute(ctx, weights, 1, 0, 2, 3)));
        ggml_set_output(sums);
        ggml_build_forward_expand(gf, sums);
        return sums;
    };
    out.whole = attend(0, m_block_tokens, n_blocks);
    out.rest  = attend(n_whole, n_tokens - n_whole, 1);
}

void compact_cache::keep_blocks(int32_t block) {
    if (block < 0) {
        fail(EDGEKV_E_ARGUMENT, "blocks of %d tokens", block);
    }
    if (block == m_block_tokens) {
        return;
    }
    m_block_tokens = block;
    m_blocks_out.assign(m_layers.size(), {});
    changed();
    reserve();
    if (block == 0) {
        return;
    }
    m_ctx.sched_reserve();

    const auto missing = std::find_if(m_blocks_out.begin(), m_blocks_out.end(), [](const blocks_out & out) { return !out.found; });
    if (missing != m_blocks_out.end()) {
        const int l = (int) (missing - m_blocks_out.begin());
        keep_blocks(0);
        fail(EDGEKV_E_UNSUPPORTED,
             "%s does not rotate the queries and keys of layer %d (RoPE) as the last thing, so they are not known here",
             m_ctx.get_model().arch_name().c_str(), l);
    }
}

void compact_cache::collect_blocks(int32_t n_tokens) {
    m_n_in_blocks = m_block_tokens > 0 ? n_tokens : 0;
}

void compact_cache::blocks(int32_t layer, float * out, size_t count) const {
    if (layer < 0 || layer >= n_layer()) {
        fail(EDGEKV_E_ARGUMENT, "there is no layer %d, the model has %d", layer, n_layer());
    }
    if (m_n_in_blocks == 0) {
        fail(EDGEKV_E_STATE, "no attention inside blocks is kept: ask for it before decoding");
    }
    const size_t needed = (size_t) m_n_head * m_n_in_blocks;
    if (count != needed) {
        fail(EDGEKV_E_ARGUMENT, "the sums of %d tokens are %zu numbers, room was given for %zu", m_n_in_blocks, needed, count);
    }

    std::vector<float> sums;
    int64_t            start = 0;
    for (const ggml_tensor * t : { m_blocks_out[layer].whole, m_blocks_out[layer].rest }) {
        if (!t) {
            continue;
        }
        const int64_t size = t->ne[1];
        sums.resize((size_t) ggml_nelements(t));
        ggml_backend_tensor_get(t, sums.data(), 0, ggml_nbytes(t));

        // [block][head][token] to [head][token]
        for (int64_t i = 0; i < t->ne[2] * t->ne[3]; ++i) {
            const int64_t block = i / m_n_head;
            const int64_t head  = i % m_n_head;
            std::copy_n(sums.data() + i * size, size, out + head * m_n_in_blocks + start + block * size);
        }
        start += size * t->ne[3];
    }
}

} // namespace edgekv

using namespace edgekv;

int32_t edgekv_blocks_keep(edgekv_context * context, int32_t block) {
    return guarded([&] {
        if (!context) {
            fail(EDGEKV_E_ARGUMENT, "no context was given");
        }
        context->cache->keep_blocks(block);
    });
}

int32_t edgekv_blocks(const edgekv_context * context, int32_t layer, float * sums, size_t count) {
    return guarded([&] {
        if (!context || !sums) {
            fail(EDGEKV_E_ARGUMENT, "no %s given", !context ? "context was" : "place for the sums was");
        }
        context->cache->blocks(layer, sums, count);
    });
}
