// Parts of llama.cpp's graphs over a compact cache: where a batch's rows go, and attention over the rows of every KV head.
#pragma once

#include "cache/cache.h"
#include "cache/decode_attention.h"

#include <map>
#include <memory>

namespace edgekv {

class compact_attention {
public:
    explicit compact_attention(compact_cache & cache);

    // Which kernel single tokens attend with: an edgekv_attention. Throws EDGEKV_E_ARGUMENT.
    void set_kernel(int32_t kernel);

    // Upper bound of the nodes that the functions below add to a graph.
    uint32_t n_nodes() const;

    // Rows that a batch goes to, for every layer; comes first in every graph.
    ggml_tensor * build_idxs(ggml_context * ctx, uint32_t n_tokens);
    void          set_idxs(ggml_tensor * idxs, const uint32_t * cells, uint32_t n_tokens) const;

    // cur [d, n_head_kv, n_tokens] into target, the layer's keys or values.
    ggml_tensor * store(ggml_context * ctx, ggml_tensor * target, ggml_tensor * cur, ggml_tensor * idxs, int32_t layer);

    // q [d_k, n_head, n_tokens], mask [n_kv, n_tokens] over the cells. Returns [d_v * n_head, n_tokens].
    ggml_tensor * attend(ggml_context * ctx, ggml_tensor * q, ggml_tensor * mask, ggml_tensor * sinks, float scale, float softcap,
                         int32_t layer);

private:
    // Null where llama.cpp's own kernel is to be used.
    decode_attention * own_kernel(int32_t layer, const ggml_tensor * q, const ggml_tensor * mask);

    // The mask of a head with n kept rows.
    ggml_tensor * mask_for(ggml_context * ctx, ggml_tensor * mask, uint32_t n, bool host);

    compact_cache & m_cache;

    bool                                           m_own_kernel = false;
    std::vector<std::unique_ptr<decode_attention>> m_kernels; // by layer

    // tensors of the graph that is being built, which build_idxs begins
    std::map<const ggml_tensor *, ggml_tensor *> m_graph_idxs;
    std::map<uint32_t, ggml_tensor *>            m_graph_masks;

    mutable std::vector<int32_t> m_scratch;
};

} // namespace edgekv
