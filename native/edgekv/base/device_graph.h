// A small graph of our own beside llama.cpp's, computed where a layer's rows or weights lie.
#pragma once

#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "ggml-cpp.h"

#include <vector>

namespace edgekv {

class device_graph {
public:
    using memory = std::vector<ggml_gallocr_ptr>;

    // what: names the work in errors. keep: gets the graph's memory in the end, where a device must not see it freed; null: it is freed.
    device_graph(const char * what, size_t n_nodes, memory * keep);
    ~device_graph();

    device_graph(const device_graph &)             = delete;
    device_graph & operator=(const device_graph &) = delete;

    ggml_context * ctx() const { return m_ctx.get(); }

    // A tensor to be computed; read it after compute().
    void add(ggml_tensor * result);

    // Takes the memory; inputs can be set afterwards. Throws EDGEKV_E_MEMORY.
    void allocate(ggml_backend_buffer_type_t buft);

    // Any number of times. Throws EDGEKV_E_CANCELLED, EDGEKV_E_INTERNAL, and EDGEKV_E_UNSUPPORTED for an operation that the device does not have.
    void compute(ggml_backend_t backend);

private:
    const char *     m_what;
    memory *         m_keep;
    ggml_context_ptr m_ctx;
    ggml_cgraph *    m_gf;
    ggml_gallocr_ptr m_allocator;
};

} // namespace edgekv
