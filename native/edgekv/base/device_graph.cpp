#include "base/device_graph.h"

#include "base/error.h"

#include <new>
#include <utility>

namespace edgekv {

device_graph::device_graph(const char * what, size_t n_nodes, memory * keep) : m_what(what), m_keep(keep) {
    const ggml_init_params params = {
        // nodes and what they read
        /*.mem_size   =*/2 * n_nodes * ggml_tensor_overhead() + ggml_graph_overhead_custom(n_nodes, false),
        /*.mem_buffer =*/nullptr,
        /*.no_alloc   =*/true,
    };
    m_ctx.reset(ggml_init(params));
    if (!m_ctx) {
        throw std::bad_alloc();
    }
    m_gf = ggml_new_graph_custom(m_ctx.get(), n_nodes, false);
}

device_graph::~device_graph() {
    if (m_keep && m_allocator) {
        m_keep->push_back(std::move(m_allocator));
    }
}

void device_graph::add(ggml_tensor * result) {
    ggml_set_output(result);
    ggml_build_forward_expand(m_gf, result);
}

void device_graph::allocate(ggml_backend_buffer_type_t buft) {
    m_allocator.reset(ggml_gallocr_new(buft));
    if (!ggml_gallocr_alloc_graph(m_allocator.get(), m_gf)) {
        fail(EDGEKV_E_MEMORY, "memory for %s could not be had from %s", m_what, ggml_backend_buft_name(buft));
    }
}

void device_graph::compute(ggml_backend_t backend) {
    for (int i = 0; i < ggml_graph_n_nodes(m_gf); ++i) {
        const ggml_tensor * node = ggml_graph_node(m_gf, i);
        if (!ggml_backend_supports_op(backend, node)) {
            fail(EDGEKV_E_UNSUPPORTED, "%s needs %s of %s, which %s does not have", m_what, ggml_op_desc(node),
                 ggml_type_name(node->src[0] ? node->src[0]->type : node->type), ggml_backend_name(backend));
        }
    }
    switch (ggml_backend_graph_compute(backend, m_gf)) {
        case GGML_STATUS_SUCCESS:
            return;
        case GGML_STATUS_ABORTED:
            fail(EDGEKV_E_CANCELLED, "%s was interrupted", m_what);
        default:
            fail(EDGEKV_E_INTERNAL, "%s failed on %s: %s", m_what, ggml_backend_name(backend), llama_error().c_str());
    }
}

} // namespace edgekv
