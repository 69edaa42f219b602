// What is read while a context's graphs run: parts that are added to them, and what comes of these after every ubatch.
#pragma once

#include "base/error.h"
#include "cache/cache.h"

#include "ggml.h"
#include "llama-model.h"

#include <cstdint>

struct llama_ubatch;

namespace edgekv {

// The graph that is being built, and the layer whose part it is at.
struct graph_part {
    ggml_context * ctx   = nullptr;
    ggml_cgraph *  gf    = nullptr;
    int32_t        layer = 0;

    // A tensor to be read after the graph.
    void add(ggml_tensor * result) const;
};

// What a layer's attention is built on.
struct graph_heads {
    ggml_tensor * q = nullptr; // [d_k, n_head, n_tokens], after RoPE
    ggml_tensor * k = nullptr; // [d_k, n_head_kv, n_tokens]

    // The rotations that made them; null when they are not rotated, or more than scaled afterwards.
    const ggml_tensor * rope_q = nullptr;
    const ggml_tensor * rope_k = nullptr;
};

class tap {
public:
    virtual ~tap() = default;

    // false: it adds nothing to graphs, and nothing is collected
    virtual bool active() const = 0;

    // Upper bound of the nodes that it adds to a graph when it is active.
    virtual uint32_t n_nodes() const = 0;

    // Whether add_weights() is to be called, for which attention is built without flash attention, and add_input().
    virtual bool wants_weights() const { return false; }
    virtual bool wants_inputs() const { return false; }

    virtual void add_weights(const graph_part &, ggml_tensor * /* [n_kv, n_tokens, n_head] */) {}
    virtual void add_input(const graph_part &, ggml_tensor * /* [n_embd, n_tokens] */) {}
    virtual void add_heads(const graph_part &, const graph_heads &) {}

    virtual void begin_batch() {}
    virtual void begin_ubatch(const llama_ubatch &) {}

    // Whether collect() reads what the graph left.
    virtual bool collects() const { return true; }

    // After a ubatch was computed; cells: those that its tokens went to.
    virtual void collect(const llama_ubatch &, const uint32_t * /* cells */) {}
};

// Builds the worst case, which shows whether the model's graph has what a tap looks for in every layer. found(layer) says so. Where it does not, undo() is called and
// EDGEKV_E_UNSUPPORTED thrown; does_not: what the model does not do.
template <typename Found, typename Undo>
void require_in_every_layer(compact_cache & cache, Found && found, Undo && undo, const char * does_not) {
    cache.graphs().build_worst_case();
    for (int32_t l = 0; l < cache.geometry().n_layer(); ++l) {
        if (!found(l)) {
            undo();
            cache.graphs().changed();
            cache.graphs().reserve();
            fail(EDGEKV_E_UNSUPPORTED, "%s does not %s (layer %d)", cache.ctx().get_model().arch_name().c_str(), does_not, l);
        }
    }
}

} // namespace edgekv
