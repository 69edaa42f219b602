#include "cache/storage.h"

#include "base/error.h"
#include "base/memory.h"
#include "base/tensors.h"

#include <algorithm>

namespace edgekv {

namespace {

std::string mib(size_t bytes) {
    return text("%.1f MiB", bytes / 1048576.0);
}

// kernels multiply rows that the mask hides: what is there must be a number
void allocate(const cache_layer & layer, layer_storage & storage, const std::string & what) {
    storage.buffer.reset(ggml_backend_alloc_ctx_tensors_from_buft(storage.ctx.get(), layer.buft));
    if (!storage.buffer) {
        fail(EDGEKV_E_MEMORY, "%s could not be had from %s", what.c_str(), ggml_backend_buft_name(layer.buft));
    }
    ggml_backend_buffer_clear(storage.buffer.get(), 0);
}

} // namespace

uint32_t most_rows(const std::vector<std::vector<head_rows>> & heads) {
    uint32_t n = 0;
    for (const auto & layer : heads) {
        for (const auto & head : layer) {
            n = std::max(n, head.n);
        }
    }
    return n;
}

uint32_t lay_out(const cache_layer & layer, std::vector<head_rows> & heads, uint32_t room) {
    const size_t row_k = layer.row_k();
    const size_t row_v = layer.row_v();

    // every head starts where kernels can bind it
    size_t alignment = ggml_backend_buft_get_alignment(layer.buft);
    if (!layer.host) {
        alignment = std::max(alignment, DEVICE_OFFSET_ALIGNMENT);
    }
    uint32_t step = 1;
    while (step * row_k % alignment != 0 || step * row_v % alignment != 0) {
        ++step;
    }

    uint32_t n_rows = 0;
    for (auto & head : heads) {
        head.offset   = n_rows;
        head.capacity = round_up(head.n + room, step);
        n_rows += head.capacity;
    }
    return n_rows;
}

size_t storage_bytes(const cache_layer & layer, uint32_t n_rows) {
    const size_t alignment = ggml_backend_buft_get_alignment(layer.buft);
    return round_up(n_rows * layer.row_k(), alignment) + round_up(n_rows * layer.row_v(), alignment);
}

void check_memory(const bytes_by_buft & needed) {
    for (const auto & [buft, bytes] : needed) {
        const memory_left left = memory_left_on(ggml_backend_buft_is_host(buft) ? nullptr : ggml_backend_buft_get_device(buft));
        if (bytes > left.bytes) {
            fail(EDGEKV_E_MEMORY, "%s of memory are needed for the cache and %s has %s left", mib(bytes).c_str(), left.where.c_str(),
                 mib(left.bytes).c_str());
        }
    }
}

layer_storage allocate_rows(const cache_layer & layer, uint32_t n_rows) {
    layer_storage storage;
    storage.ctx = new_context(2);
    storage.k   = ggml_new_tensor_2d(storage.ctx.get(), layer.type_k, layer.shape.d_k, n_rows);
    storage.v   = ggml_new_tensor_2d(storage.ctx.get(), layer.type_v, layer.shape.d_v, n_rows);
    ggml_format_name(storage.k, "compact_k_l%d", layer.shape.il);
    ggml_format_name(storage.v, "compact_v_l%d", layer.shape.il);

    allocate(layer, storage, text("%s of memory for layer %d of the cache", mib(storage_bytes(layer, n_rows)).c_str(), layer.shape.il));
    return storage;
}

layer_storage allocate_full(const cache_layer & layer, uint32_t n_ctx) {
    layer_storage storage;
    storage.ctx = new_context(2);
    storage.k   = ggml_new_tensor_3d(storage.ctx.get(), layer.type_k, layer.shape.d_k * layer.shape.n_head_kv, n_ctx, 1);
    storage.v   = ggml_new_tensor_3d(storage.ctx.get(), layer.type_v, layer.shape.d_v * layer.shape.n_head_kv, n_ctx, 1);
    ggml_format_name(storage.k, "cache_k_l%d", layer.shape.il);
    ggml_format_name(storage.v, "cache_v_l%d", layer.shape.il);

    allocate(layer, storage, text("memory for layer %d of the full cache", layer.shape.il));
    return storage;
}

std::vector<layer_storage> allocate_all(const std::vector<cache_layer> & layers, std::vector<std::vector<head_rows>> & heads,
                                        uint32_t room) {
    bytes_by_buft         needed;
    std::vector<uint32_t> n_rows(layers.size());
    for (size_t l = 0; l < layers.size(); ++l) {
        n_rows[l] = lay_out(layers[l], heads[l], room);
        needed[layers[l].buft] += storage_bytes(layers[l], n_rows[l]);
    }
    check_memory(needed);

    std::vector<layer_storage> storages;
    for (size_t l = 0; l < layers.size(); ++l) {
        storages.push_back(allocate_rows(layers[l], n_rows[l]));
    }
    return storages;
}

layer_storage allocate_nothing(ggml_backend_buffer_type_t buft, ggml_type type_k, ggml_type type_v, uint32_t n_ctx) {
    layer_storage storage;
    storage.ctx = new_context(2);
    storage.k   = ggml_new_tensor_3d(storage.ctx.get(), type_k, 0, n_ctx, 1);
    storage.v   = ggml_new_tensor_3d(storage.ctx.get(), type_v, 0, n_ctx, 1);

    // a graph over all layers takes a tensor without an address for one that it has to allocate
    storage.buffer.reset(ggml_backend_buft_alloc_buffer(buft, ggml_backend_buft_get_alignment(buft)));
    if (!storage.buffer) {
        fail(EDGEKV_E_MEMORY, "memory for a layer without KV heads could not be had from %s", ggml_backend_buft_name(buft));
    }
    void * base = ggml_backend_buffer_get_base(storage.buffer.get());
    for (ggml_tensor * tensor : { storage.k, storage.v }) {
        if (ggml_backend_tensor_alloc(storage.buffer.get(), tensor, base) != GGML_STATUS_SUCCESS) {
            fail(EDGEKV_E_MEMORY, "%s refuses a tensor of a layer without KV heads", ggml_backend_buft_name(buft));
        }
    }
    return storage;
}

} // namespace edgekv
