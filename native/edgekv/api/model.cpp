// What a model is to a cache.
#include "api/call.h"
#include "base/memory.h"
#include "cache/geometry.h"

#include "llama-model.h"

#include <algorithm>
#include <cstring>
#include <map>

using namespace edgekv;

int32_t edgekv_model_supported(const llama_model * model) {
    return guarded([&] {
        require(model, "model was");
        require_supported(*model);
    });
}

int32_t edgekv_model_layers(const llama_model * model, int32_t * layers, size_t capacity, size_t * n) {
    return guarded([&] {
        require(model, "model was");
        require(n, "place for the number of layers was");
        const auto found = cache_geometry(*model).layers();

        *n = found.size();
        if (capacity < found.size() || (!layers && !found.empty())) {
            fail(EDGEKV_E_ARGUMENT, "the model has %zu layers with a cache, room was given for %zu", found.size(), capacity);
        }
        for (const auto & layer : found) {
            for (const int32_t value : { layer.il, layer.n_head, layer.n_head_kv, (int32_t) layer.d_k, (int32_t) layer.d_v }) {
                *layers++ = value;
            }
        }
    });
}

int32_t edgekv_model_path(const llama_model * model, char * path, size_t capacity, size_t * length) {
    return guarded([&] {
        require(model, "model was");
        if (model->path.empty()) {
            fail(EDGEKV_E_STATE, "the model was not loaded from one file by its path");
        }
        if (length) {
            *length = model->path.size();
        }
        if (path && capacity > 0) {
            const size_t size = std::min(capacity - 1, model->path.size());
            std::memcpy(path, model->path.data(), size);
            path[size] = 0;
        }
    });
}

int32_t edgekv_cache_fits(const llama_model * model, uint32_t n_ctx, int32_t type_k, int32_t type_v, bool offload_kv) {
    return guarded([&] {
        require(model, "model was");
        for (const int32_t type : { type_k, type_v }) {
            if (type < 0 || type >= GGML_TYPE_COUNT || ggml_blck_size((ggml_type) type) == 0) {
                fail(EDGEKV_E_ARGUMENT, "there is no cache type %d", type);
            }
        }

        std::map<ggml_backend_dev_t, uint64_t> needed;
        const cache_geometry                   geometry(*model);
        for (const auto & layer : geometry.layers()) {
            for (const auto & [d, type] : { std::pair{ layer.d_k, (ggml_type) type_k }, std::pair{ layer.d_v, (ggml_type) type_v } }) {
                if (d % ggml_blck_size(type) != 0) {
                    fail(EDGEKV_E_UNSUPPORTED, "a head size of %d cannot be kept in %s; use f16", (int) d, ggml_type_name(type));
                }
                needed[offload_kv ? model->dev_layer(layer.il) : nullptr] += (uint64_t) ggml_row_size(type, d) * layer.n_head_kv * n_ctx;
            }
        }
        for (const auto & [device, bytes] : needed) {
            const memory_left left = memory_left_on(device);
            if (bytes > left.bytes) {
                fail(EDGEKV_E_MEMORY, "a cache of %u tokens needs %.1f MiB and %s has %.1f MiB left", n_ctx, bytes / 1048576.0,
                     left.where.c_str(), left.bytes / 1048576.0);
            }
        }
    });
}
