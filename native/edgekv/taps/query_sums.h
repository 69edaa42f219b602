// Sums of queries and keys, before and after RoPE, over all tokens that are decoded.
#pragma once

#include "taps/tap.h"

#include <cstdint>
#include <vector>

namespace edgekv {

class query_sums final : public tap {
public:
    explicit query_sums(compact_cache & cache) : m_cache(cache) {}

    // From here on, from zero, those of tokens at position first and after. Throws EDGEKV_E_UNSUPPORTED where the graph does not show them.
    void keep(bool keep, int32_t first);

    // which: an edgekv_query_sum. Throws EDGEKV_E_STATE when none are kept.
    void    read(int32_t which, int32_t layer, double * out, size_t count) const;
    int64_t n_tokens() const { return m_n_tokens; }

    bool     active() const override { return m_keeps; }
    uint32_t n_nodes() const override { return 24 * (uint32_t) m_cache.layers().size(); }
    void     add_heads(const graph_part & part, const graph_heads & heads) override;
    void     begin_ubatch(const llama_ubatch & ubatch) override;
    void     collect(const llama_ubatch & ubatch, const uint32_t * cells) override;

private:
    static constexpr int N_SUMS = 5; // of edgekv_query_sum

    struct layer_out {
        bool          found        = false;
        ggml_tensor * sums[N_SUMS] = {}; // as edgekv_query_sum: [1, d, heads] or [d, d, heads]; null: no token of the ubatch counts
    };

    compact_cache & m_cache;

    bool    m_keeps    = false;
    int32_t m_first    = 0; // position
    int32_t m_skip     = 0; // tokens of the ubatch that are before it
    int64_t m_n_tokens = 0; // in the sums

    std::vector<layer_out>                        m_out;  // by layer, of the graph built last
    std::vector<std::vector<std::vector<double>>> m_sums; // by layer and edgekv_query_sum
    std::vector<float>                            m_scratch;
};

} // namespace edgekv
