// What layers would lose if they kept few rows: their attention over these, beside the one that they hand on.
#pragma once

#include "taps/tap.h"

#include <vector>

namespace edgekv {

class eviction_errors final : public tap {
public:
    explicit eviction_errors(compact_cache & cache) : m_cache(cache), m_out(cache.layers().size()) {}

    ~eviction_errors() override { forget_kept(); }

    // As edgekv_eviction_errors takes it: counts [n_layer], positions by layer.
    struct kept_rows {
        int32_t         n_context   = 0;
        const int32_t * counts      = nullptr;
        const int32_t * positions   = nullptr;
        size_t          n_positions = 0;
    };

    // Between begin and end every ubatch's errors are added to errors [n_layer].
    void begin(const kept_rows & kept, double epsilon, double * errors);
    void end();

    bool     active() const override { return m_errors != nullptr; }
    uint32_t n_nodes() const override { return 36 * (uint32_t) m_out.size(); }
    bool     wants_weights() const override { return true; }
    void     add_weights(const graph_part & part, ggml_tensor * weights) override;
    void     collect(const llama_ubatch & ubatch, const uint32_t * cells) override;

private:
    void check(const kept_rows & kept) const;
    void forget_kept();

    compact_cache & m_cache;

    double   m_epsilon = 0;
    double * m_errors  = nullptr; // of the pass

    struct layer_out {
        ggml_tensor * full       = nullptr; // ||O_f||, [1, n_tokens]
        ggml_tensor * difference = nullptr; // ||O_c - O_f||, [1, n_tokens]
    };
    std::vector<device_tensor> m_kept; // by layer, by cell 1 for what stays
    std::vector<layer_out>     m_out;  // by layer, of the graph built last
};

} // namespace edgekv
