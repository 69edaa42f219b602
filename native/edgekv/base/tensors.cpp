#include "base/tensors.h"

#include "base/error.h"

#include <new>

namespace edgekv {

ggml_context_ptr new_context(size_t n_tensors, size_t n_nodes) {
    const ggml_init_params params = {
        /*.mem_size   =*/n_tensors * ggml_tensor_overhead() + (n_nodes ? ggml_graph_overhead_custom(n_nodes, false) : 0),
        /*.mem_buffer =*/nullptr,
        /*.no_alloc   =*/true,
    };
    ggml_context_ptr ctx{ ggml_init(params) };
    if (!ctx) {
        throw std::bad_alloc();
    }
    return ctx;
}

device_tensor new_weights(ggml_backend_buffer_type_t buft, int64_t ne0, int64_t ne1, const std::vector<float> & values,
                          const std::string & what) {
    device_tensor result;
    result.ctx    = new_context(1);
    result.tensor = ggml_new_tensor_2d(result.ctx.get(), GGML_TYPE_F32, ne0, ne1);
    ggml_set_name(result.tensor, what.c_str());
    result.buffer.reset(ggml_backend_alloc_ctx_tensors_from_buft(result.ctx.get(), buft));
    if (!result.buffer) {
        fail(EDGEKV_E_MEMORY, "memory for %s could not be had from %s", what.c_str(), ggml_backend_buft_name(buft));
    }
    ggml_backend_buffer_set_usage(result.buffer.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
    ggml_backend_tensor_set(result.tensor, values.data(), 0, values.size() * sizeof(float));
    return result;
}

} // namespace edgekv
