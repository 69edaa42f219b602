// The taps of a context, as llama.cpp's graphs and decode see them.
#pragma once

#include "taps/tap.h"

#include "llama-graph-tap.h"

#include <vector>

namespace edgekv {

class tap_list final : public llama_graph_tap_i {
public:
    tap_list(compact_cache & cache, std::vector<tap *> taps) : m_cache(cache), m_taps(std::move(taps)) {}

    void begin_batch();
    void begin_ubatch(const llama_ubatch & ubatch);
    bool collects() const; // whether a tap reads what a graph left
    void collect(const llama_ubatch & ubatch, const uint32_t * cells);

    uint64_t tap_generation() const override { return m_cache.graphs().generation(); }
    uint32_t n_tap_nodes() const override;

    bool wants_weights() const override;
    bool wants_inputs() const override;

    void add_weights(ggml_context * ctx, ggml_cgraph * gf, ggml_tensor * weights, int32_t il) override;
    void add_input(ggml_context * ctx, ggml_cgraph * gf, ggml_tensor * x, int32_t il) override;
    void add_heads(ggml_context * ctx, ggml_cgraph * gf, ggml_tensor * q, ggml_tensor * k, int32_t il) override;

private:
    // f(tap, part) for every active tap, where the layer of the model has rows in the cache
    template <typename F>
    void at_layer(ggml_context * ctx, ggml_cgraph * gf, int32_t il, F && f);

    compact_cache &    m_cache;
    std::vector<tap *> m_taps;
};

} // namespace edgekv
