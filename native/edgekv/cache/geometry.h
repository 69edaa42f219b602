// The attention layers of a model that keep rows in the KV cache. Layers may differ in heads and in their sizes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

struct llama_context;
struct llama_model;
class llama_kv_cache;

namespace edgekv {

struct layer_shape {
    int32_t il        = 0; // in the model
    int32_t n_head    = 0; // attention heads
    int32_t n_head_kv = 0;
    int64_t d_k       = 0; // elements of a KV head's key
    int64_t d_v       = 0;

    // of this layer's first one, among those of all layers
    size_t first_head    = 0;
    size_t first_head_kv = 0;

    int32_t n_group() const { return n_head / n_head_kv; }

    // of a key or value, which being an edgekv_row
    int64_t head_size(int32_t which) const;
};

// Ascending by layer of the model. A layer's index in here is what the C API calls a layer.
class cache_geometry {
public:
    explicit cache_geometry(const llama_model & model);

    const std::vector<layer_shape> & layers() const { return m_layers; }

    int32_t n_layer() const { return (int32_t) m_layers.size(); }

    // of all layers
    size_t n_heads() const { return m_n_heads; }
    size_t n_heads_kv() const { return m_n_heads_kv; }

    // of the layer that has most
    int32_t max_heads() const { return m_max_heads; }
    int32_t max_heads_kv() const { return m_max_heads_kv; }

    // -1: the layer of the model has no rows in the cache
    int32_t index_of(int32_t il) const { return il >= 0 && il < (int32_t) m_index.size() ? m_index[il] : -1; }

    // Throws EDGEKV_E_ARGUMENT where there is no such layer.
    const layer_shape & layer(int32_t l) const;

private:
    std::vector<layer_shape> m_layers;
    std::vector<int32_t>     m_index; // by layer of the model

    size_t  m_n_heads      = 0;
    size_t  m_n_heads_kv   = 0;
    int32_t m_max_heads    = 0;
    int32_t m_max_heads_kv = 0;
};

// Why caches of this model cannot be made compact, "" when they can.
std::string unsupported_reason(const llama_model & model);

// Throws EDGEKV_E_UNSUPPORTED with the reason.
void require_supported(const llama_model & model);

// The cache of a context that can be made compact. Throws EDGEKV_E_UNSUPPORTED with the reason for another one.
llama_kv_cache & supported_cache(llama_context & ctx);

} // namespace edgekv
