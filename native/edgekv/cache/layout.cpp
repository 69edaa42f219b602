#include "cache/layout.h"

#include "base/error.h"
#include "cache/apply.h"
#include "cache/state.h"
#include "cache/tokens.h"

#include <algorithm>
#include <stdexcept>

namespace edgekv {

//
// graph
//

int32_t compact_layout::layer_of(int32_t il) const {
    const int32_t l = m_cache.geometry().index_of(il);
    if (l < 0) {
        fail(EDGEKV_E_INTERNAL, "layer %d of the model has no rows in the cache", il);
    }
    return l;
}

ggml_tensor * compact_layout::store_k(ggml_context * ctx, ggml_tensor * cur, ggml_tensor * idxs, int32_t il) {
    const int32_t l = layer_of(il);
    return m_attention.store(ctx, m_cache.layer(l).storage.k, cur, idxs, l);
}

ggml_tensor * compact_layout::store_v(ggml_context * ctx, ggml_tensor * cur, ggml_tensor * idxs, int32_t il) {
    const int32_t l = layer_of(il);
    return m_attention.store(ctx, m_cache.layer(l).storage.v, cur, idxs, l);
}

ggml_tensor * compact_layout::attend(ggml_context * ctx, ggml_tensor * q, ggml_tensor * mask, ggml_tensor * sinks, float scale,
                                     float softcap, int32_t il) {
    return m_attention.attend(ctx, q, mask, sinks, scale, softcap, layer_of(il));
}

//
// cells
//

bool compact_layout::grow(uint32_t n_tokens) {
    m_growing        = true;
    const bool grown = edgekv::grow(m_cache, n_tokens);
    m_growing        = false;
    return grown;
}

llama_kv_layout_i::rm_action compact_layout::on_seq_rm(llama_seq_id seq_id, llama_pos p0, llama_pos p1) const {
    const llama_seq_id kept = m_cache.kept_sequence();
    if (p0 >= m_cache.n_context() || (seq_id >= 0 && seq_id != kept)) {
        return RM_CELLS;
    }
    if (p0 > 0 || p1 < std::max(m_cache.kv().seq_pos_max(kept) + 1, m_cache.n_context())) {
        return RM_REFUSE;
    }
    return m_cache.others_live() && seq_id >= 0 ? RM_REFUSE : RM_ALL;
}

llama_kv_layout_i::rm_action compact_layout::on_seq_keep(llama_seq_id seq_id) const {
    if (seq_id == m_cache.kept_sequence() || m_cache.n_context() == 0) {
        return RM_CELLS;
    }
    return m_cache.kv().seq_pos_max(seq_id) < 0 ? RM_ALL : RM_REFUSE;
}

void compact_layout::on_clear() {
    m_cache.tokens().forget_all();

    if (!m_cache.compact()) {
        for (const auto & layer : m_cache.layers()) {
            if (layer.storage.buffer) {
                ggml_backend_buffer_clear(layer.storage.buffer.get(), 0);
            }
        }
        return;
    }

    // back to llama.cpp's own layout, which score passes need; where its memory is not to be had, an empty compact cache does all the rest
    m_cache.ctx().synchronize();
    try {
        m_cache.become_full();
    } catch (const std::exception &) {
        m_cache.become_empty();
    }
}

//
// state
//

void compact_layout::state_write(llama_io_write_i & io) const {
    write_state(m_cache, io);
}

void compact_layout::state_read(llama_io_read_i & io, llama_seq_id seq_id) {
    m_state_error = "it is damaged";
    try {
        if (seq_id >= 0 && m_cache.n_sequences() > 0 && (m_cache.n_sequences() > 1 || m_cache.sequence() != seq_id)) {
            throw std::runtime_error("the context holds other sequences");
        }
        read_state(m_cache, io, seq_id);
    } catch (const std::exception & e) {
        m_state_error = e.what();
        throw;
    }
}

void compact_layout::on_state_read(llama_seq_id seq_id) {
    m_state_error = "it is damaged, or was saved from another model or with another type of cache";

    // a state in llama.cpp's layout takes the place of all kept rows
    if (m_cache.compact()) {
        if (seq_id >= 0 && m_cache.n_sequences() > 0 && (seq_id != m_cache.kept_sequence() || m_cache.others_live())) {
            m_state_error = "the cache is compact and holds another sequence";
            throw std::runtime_error(m_state_error);
        }
        m_cache.kv().clear(true);
        if (m_cache.compact()) {
            m_state_error = "memory for a full cache is not to be had";
            throw std::runtime_error(m_state_error);
        }
    }
    forget_cells(m_cache, seq_id);
}

void compact_layout::memory_breakdown(std::map<ggml_backend_buffer_type_t, size_t> & sizes) const {
    for (const auto & layer : m_cache.layers()) {
        if (layer.storage.buffer) {
            sizes[layer.buft] += ggml_backend_buffer_get_size(layer.storage.buffer.get());
        }
    }
}

} // namespace edgekv
