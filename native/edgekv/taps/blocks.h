// Attention without causality inside blocks of the tokens that are being decoded.
#pragma once

#include "taps/tap.h"

#include <cstdint>
#include <vector>

namespace edgekv {

class block_attention final : public tap {
public:
    explicit block_attention(compact_cache & cache) : m_cache(cache) {}

    // Blocks of so many tokens of every ubatch; 0: none. Throws EDGEKV_E_UNSUPPORTED where the graph does not show rotated queries and keys.
    void keep(int32_t block);

    // [n_head, n_tokens] of the last batch. Throws EDGEKV_E_STATE where there are none.
    void read(int32_t layer, float * out, size_t count) const;

    bool     active() const override { return m_block > 0; }
    uint32_t n_nodes() const override { return 24 * (uint32_t) m_cache.layers().size(); }
    void     add_heads(const graph_part & part, const graph_heads & heads) override;
    void     begin_batch() override;
    void     collect(const llama_ubatch & ubatch, const uint32_t * cells) override;

private:
    struct layer_out {
        bool          found = false;
        ggml_tensor * whole = nullptr; // [1, m_block, n_head, whole blocks], null: there are none
        ggml_tensor * rest  = nullptr; // [1, tokens after them, n_head]
    };

    // n blocks of size tokens each, the first token of them being first; null where they have none
    static ggml_tensor * attend(const graph_part & part, const graph_heads & heads, int64_t first, int64_t size, int64_t n);

    // The sums of blocks, [1, size, n_head, n], go behind those in by_token [n_tokens, n_head].
    void append(const ggml_tensor * sums, std::vector<float> & by_token);

    compact_cache & m_cache;

    int32_t                         m_block = 0;
    std::vector<layer_out>          m_out;  // by layer, of the graph built last
    std::vector<std::vector<float>> m_sums; // by layer, of the last batch: [n_tokens, n_head]
    std::vector<float>              m_scratch;
};

} // namespace edgekv
