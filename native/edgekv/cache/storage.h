// Where the rows of layers lie: K and V in buffers of their own, and which of their rows are whose.
#pragma once

#include "cache/geometry.h"

#include "ggml-backend.h"
#include "ggml-cpp.h"
#include "llama.h"

#include <cstdint>
#include <map>
#include <vector>

namespace edgekv {

struct head_rows {
    uint32_t n        = 0; // kept rows
    uint32_t offset   = 0; // first row in the layer's tensors
    uint32_t capacity = 0; // rows, kept and room

    std::vector<int32_t> positions; // of the kept rows, ascending
};

// K and V of one layer in buffers of their own, so that a layer can be replaced without its neighbours.
struct layer_storage {
    ggml_context_ptr        ctx;
    ggml_backend_buffer_ptr buffer;

    ggml_tensor * k = nullptr;
    ggml_tensor * v = nullptr;
};

struct cache_layer {
    layer_shape shape;

    ggml_type type_k = GGML_TYPE_F16;
    ggml_type type_v = GGML_TYPE_F16;

    ggml_backend_buffer_type_t buft = nullptr;
    bool                       host = true;

    layer_storage          storage; // empty while llama.cpp's own tensors are in use
    std::vector<head_rows> heads;

    // bytes of one KV head's key and value
    size_t row_k() const { return ggml_row_size(type_k, shape.d_k); }
    size_t row_v() const { return ggml_row_size(type_v, shape.d_v); }
};

// A compact form that was built and is to become the cache's.
struct compact_form {
    std::vector<layer_storage>          storages; // by layer
    std::vector<std::vector<head_rows>> heads;    // by layer

    uint32_t     room      = 0; // the same for all heads; some have a few rows more
    uint32_t     block     = 0; // rows that room grows by
    int32_t      n_context = 0; // tokens that the kept rows stand for
    llama_seq_id seq_id    = 0;
};

// The rows of the KV head that keeps most.
uint32_t most_rows(const std::vector<std::vector<head_rows>> & heads);

using bytes_by_buft = std::map<ggml_backend_buffer_type_t, size_t>;

// Offsets and capacities of heads with the given counts and room. Returns the rows of the layer.
uint32_t lay_out(const cache_layer & layer, std::vector<head_rows> & heads, uint32_t room);

size_t storage_bytes(const cache_layer & layer, uint32_t n_rows);

// Throws EDGEKV_E_MEMORY when the host or a device has less than needed.
void check_memory(const bytes_by_buft & needed);

// All zero. Throw EDGEKV_E_MEMORY.
layer_storage allocate_rows(const cache_layer & layer, uint32_t n_rows);
layer_storage allocate_full(const cache_layer & layer, uint32_t n_ctx); // llama.cpp's own layout

// Lays out all layers, heads having their counts, and allocates them. Memory is checked before any is taken.
std::vector<layer_storage> allocate_all(const std::vector<cache_layer> & layers, std::vector<std::vector<head_rows>> & heads,
                                        uint32_t room);

// The place of a layer that has no rows: tensors without elements, as llama.cpp has them.
layer_storage allocate_nothing(ggml_backend_buffer_type_t buft, ggml_type type_k, ggml_type type_v, uint32_t n_ctx);

} // namespace edgekv
