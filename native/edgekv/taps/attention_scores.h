// Attention weights of score passes, aggregated over the pass's queries.
#pragma once

#include "base/handles.h"
#include "taps/tap.h"

#include <map>
#include <vector>

namespace edgekv {

class attention_scores final : public tap {
public:
    explicit attention_scores(compact_cache & cache) : m_cache(cache), m_out(cache.layers().size()) {}

    ~attention_scores() override { forget_seen(); }

    // Between begin and end every ubatch's weights are added to scores. Which of the tokens that are there now is scores' to say. Throws EDGEKV_E_STATE over a compact cache.
    void begin(edgekv_scores & scores);
    void end();

    bool     active() const override { return m_scores != nullptr; }
    uint32_t n_nodes() const override { return 12 * (uint32_t) m_out.size(); }
    bool     wants_weights() const override { return true; }
    void     add_weights(const graph_part & part, ggml_tensor * weights) override;
    void     collect(const llama_ubatch & ubatch, const uint32_t * cells) override;

private:
    void see();
    void forget_seen();

    void add_on_host(const graph_part & part, ggml_tensor * weights);
    void add_on_device(const graph_part & part, ggml_tensor * weights);

    compact_cache & m_cache;
    edgekv_scores * m_scores = nullptr; // of the pass

    // What the pass's queries see, by cell, 1 or 0; empty: everything. On the host and on the devices of layers that are not there.
    std::vector<float>                                  m_seen;
    std::map<ggml_backend_buffer_type_t, device_tensor> m_seen_on;

    struct weights_out {
        ggml_tensor * max  = nullptr;
        ggml_tensor * sum  = nullptr; // sum over queries on the host path, mean on the device path
        bool          mean = false;
    };
    std::vector<weights_out> m_out; // by layer, of the graph built last
    std::vector<float>       m_scratch;
};

} // namespace edgekv
