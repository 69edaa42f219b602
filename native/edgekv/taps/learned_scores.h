// Learned scores of every token, as it is read.
#pragma once

#include "taps/score_map.h"
#include "taps/tap.h"

#include <memory>
#include <vector>

namespace edgekv {

class learned_scores final : public tap {
public:
    explicit learned_scores(compact_cache & cache) : m_cache(cache), m_out(cache.layers().size(), nullptr) {}

    // From here on every token is scored as it is read. Null: none. Throws EDGEKV_E_UNSUPPORTED for models that do not name the input of their attention.
    void set_map(std::shared_ptr<const score_map> map);

    bool     active() const override { return m_map != nullptr; }
    uint32_t n_nodes() const override { return 2 * (uint32_t) m_out.size(); }
    bool     wants_inputs() const override { return true; }
    void     add_input(const graph_part & part, ggml_tensor * x) override;
    void     collect(const llama_ubatch & ubatch, const uint32_t * cells) override;

private:
    compact_cache & m_cache;

    std::shared_ptr<const score_map> m_map;
    std::shared_ptr<const score_map> m_scored_with; // the map that known scores come from
    std::vector<ggml_tensor *>       m_out;         // by layer, of the graph built last: [n_head_kv, n_tokens]
    std::vector<float>               m_scratch;
};

} // namespace edgekv
