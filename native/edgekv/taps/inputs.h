// What layers' attention is given, of the tokens of the last batch.
#pragma once

#include "taps/tap.h"

#include <vector>

namespace edgekv {

class attention_inputs final : public tap {
public:
    explicit attention_inputs(compact_cache & cache)
        : m_cache(cache), m_out(cache.layers().size(), nullptr), m_inputs(cache.layers().size()) {}

    // Throws EDGEKV_E_UNSUPPORTED for models that do not name the input of their attention.
    void keep(bool keep);

    // [n_tokens, n_embd]. Throws EDGEKV_E_STATE where there are none.
    void read(int32_t layer, float * out, size_t count) const;

    bool     active() const override { return m_keeps; }
    uint32_t n_nodes() const override { return 0; }
    bool     wants_inputs() const override { return true; }
    void     add_input(const graph_part & part, ggml_tensor * x) override;
    void     begin_batch() override;
    void     collect(const llama_ubatch & ubatch, const uint32_t * cells) override;

private:
    compact_cache & m_cache;

    bool                            m_keeps = false;
    std::vector<ggml_tensor *>      m_out;    // by layer, of the graph built last: [n_embd, n_tokens]
    std::vector<std::vector<float>> m_inputs; // by layer, of the last batch
};

} // namespace edgekv
