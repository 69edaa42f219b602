#include "cache/graphs.h"

#include "base/error.h"

#include <cstring>

namespace edgekv {

void context_graphs::changed() {
    ++m_generation;
    m_ctx.graph_invalidate(false);
}

void context_graphs::reserve() {
    m_ctx.graph_invalidate(!m_keeps_freed);
}

void context_graphs::build_worst_case() {
    reserve();
    m_ctx.sched_reserve();
}

void context_graphs::release_pass_memory() {
    if (m_pass_memory) {
        m_pass_memory = false;
        reserve();
    }
}

void context_graphs::keep_freed_on(ggml_backend_buffer_type_t buft) {
    if (ggml_backend_dev_t device = ggml_backend_buft_get_device(buft)) {
        m_keeps_freed |= std::strstr(ggml_backend_dev_description(device), "llvmpipe") != nullptr;
    }
}

void context_graphs::drop(ggml_context_ptr ctx, ggml_backend_buffer_ptr buffer) {
    if (m_keeps_freed && buffer) {
        m_freed_buffers.emplace_back(std::move(ctx), std::move(buffer));
    }
}

void context_graphs::drop(llama_kv_cache::buffers && buffers) {
    for (auto & [ctx, buffer] : buffers) {
        drop(std::move(ctx), std::move(buffer));
    }
    buffers.clear();
}

ggml_backend_t context_graphs::backend_of(ggml_backend_buffer_type_t buft) const {
    ggml_backend_sched_t     sched  = m_ctx.get_sched();
    const ggml_backend_dev_t device = ggml_backend_buft_get_device(buft);

    for (int i = 0; i < ggml_backend_sched_get_n_backends(sched); ++i) {
        ggml_backend_t backend = ggml_backend_sched_get_backend(sched, i);
        if (ggml_backend_supports_buft(backend, buft) && (!device || ggml_backend_get_device(backend) == device)) {
            return backend;
        }
    }
    fail(EDGEKV_E_INTERNAL, "no backend works on %s", ggml_backend_buft_name(buft));
}

} // namespace edgekv
