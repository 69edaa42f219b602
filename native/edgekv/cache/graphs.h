// The graphs of a context, and ours beside them: when one may be used again, and the memory that they take.
#pragma once

#include "base/device_graph.h"
#include "base/tensors.h"

#include "llama-context.h"
#include "llama-kv-cache.h"

#include <cstdint>
#include <vector>

namespace edgekv {

class context_graphs {
public:
    explicit context_graphs(llama_context & ctx) : m_ctx(ctx) {}

    context_graphs(const context_graphs &)             = delete;
    context_graphs & operator=(const context_graphs &) = delete;

    // A graph is used again only while it stays.
    uint64_t generation() const { return m_generation; }

    // To be called when what graphs are built on has changed: the last one is not used again.
    void changed();

    // Compute buffers are made anew, for the worst case of the cache as it is now, before the next decode or by build_worst_case().
    void reserve();
    void build_worst_case();

    // Passes that look at attention weights take memory in the scheduler, whose buffers never shrink by themselves.
    void pass_took_memory() { m_pass_memory = true; }
    void release_pass_memory();

    // Mesa's software device (llvmpipe, seen with 22.3) writes into buffers that were freed between two graphs, stock llama.cpp's own among them: there nothing is
    // freed before the context is. No other device is known to.
    void keep_freed_on(ggml_backend_buffer_type_t buft);

    // Where memory of graphs of our own goes instead of being freed, null: it is freed.
    device_graph::memory * kept_memory() { return m_keeps_freed ? &m_freed_graphs : nullptr; }

    // Free what they are given, unless it has to be kept.
    void drop(ggml_context_ptr ctx, ggml_backend_buffer_ptr buffer);
    void drop(device_tensor && tensor) { drop(std::move(tensor.ctx), std::move(tensor.buffer)); }
    void drop(llama_kv_cache::buffers && buffers);

    // The context's backend that computes on buffers of a type.
    ggml_backend_t backend_of(ggml_backend_buffer_type_t buft) const;

private:
    llama_context & m_ctx;

    uint64_t m_generation  = 1;
    bool     m_pass_memory = false;

    bool                    m_keeps_freed = false;
    device_graph::memory    m_freed_graphs;
    llama_kv_cache::buffers m_freed_buffers;
};

} // namespace edgekv
