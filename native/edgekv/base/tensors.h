// Small things that everybody who makes ggml tensors needs.
#pragma once

#include "ggml-backend.h"
#include "ggml-cpp.h"

#include <string>
#include <vector>

namespace edgekv {

template <typename T>
T round_up(T n, T step) {
    return (n + step - 1) / step * step;
}

// GPU kernels bind views by offset, in steps of up to this.
constexpr size_t DEVICE_OFFSET_ALIGNMENT = 256;

// A context for n_tensors, and for a graph of n_nodes if there are any. Throws std::bad_alloc.
ggml_context_ptr new_context(size_t n_tensors, size_t n_nodes = 0);

// A tensor in memory of its own.
struct device_tensor {
    ggml_context_ptr        ctx;
    ggml_backend_buffer_ptr buffer;
    ggml_tensor *           tensor = nullptr;
};

// Numbers beside a model's weights, in memory of buft, so that the scheduler computes with them where they lie. what: names them in the error EDGEKV_E_MEMORY.
device_tensor new_weights(ggml_backend_buffer_type_t buft, int64_t ne0, int64_t ne1, const std::vector<float> & values,
                          const std::string & what);

} // namespace edgekv
