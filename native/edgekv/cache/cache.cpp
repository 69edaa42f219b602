#include "cache/cache.h"

#include "base/error.h"
#include "base/memory.h"

#include "llama-model.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace edgekv {

compact_cache::compact_cache(llama_context & ctx)
    : m_ctx(ctx), m_kv(supported_cache(ctx)), m_graphs(ctx), m_geometry(ctx.get_model()), m_n_ctx(m_kv.get_size()),
      m_tokens(m_geometry.n_heads_kv()) {
    for (const layer_shape & shape : m_geometry.layers()) {
        cache_layer layer;
        layer.shape  = shape;
        layer.type_k = m_kv.type_k();
        layer.type_v = m_kv.type_v();
        layer.buft   = ggml_backend_buffer_get_type(m_kv.get_k_storage(shape.il)->buffer);
        layer.host   = ggml_backend_buft_is_host(layer.buft);
        layer.heads.resize(shape.n_head_kv);

        if (!layer.host && (layer.row_k() % 4 != 0 || layer.row_v() % 4 != 0)) {
            fail(EDGEKV_E_UNSUPPORTED, "rows of %s with head size %d are not whole words, which %s cannot gather; use f16",
                 ggml_type_name(layer.type_k), (int) shape.d_k, ggml_backend_buft_name(layer.buft));
        }
        m_graphs.keep_freed_on(layer.buft);
        m_layers.push_back(std::move(layer));
    }

    for (const uint32_t il : m_kv.get_layer_ids()) {
        if (m_geometry.index_of((int32_t) il) < 0) {
            const auto buft = ggml_backend_buffer_get_type(m_kv.get_k_storage((int32_t) il)->buffer);
            m_empty_layers.emplace_back((int32_t) il, allocate_nothing(buft, m_kv.type_k(), m_kv.type_v(), m_n_ctx));
        }
    }
}

//
// numbers
//

size_t compact_cache::bytes() const {
    const auto sizes = m_kv.memory_breakdown();
    return std::accumulate(sizes.begin(), sizes.end(), size_t{ 0 }, [](size_t sum, const auto & entry) { return sum + entry.second; });
}

size_t compact_cache::row_bytes() const {
    return m_layers.front().row_k() + m_layers.front().row_v();
}

int64_t compact_cache::n_rows() const {
    int64_t n = 0;
    for (const auto & layer : m_layers) {
        for (const auto & head : layer.heads) {
            n += head.n;
        }
    }
    return n;
}

bool compact_cache::on_device() const {
    return std::any_of(m_layers.begin(), m_layers.end(), [](const cache_layer & layer) { return !layer.host; });
}

//
// sequences and positions
//

llama_seq_id compact_cache::sequence() const {
    const live_sequences live = sequences_of(m_kv.get_cells());
    if (live.n > 1) {
        fail(EDGEKV_E_STATE, "the cache holds several sequences; one per context is what can be made compact");
    }
    return live.n == 1 ? live.first : m_seq_id;
}

int32_t compact_cache::n_sequences() const {
    const int32_t n = sequences_of(m_kv.get_cells()).n;
    return n == 0 && n_context() > 0 ? 1 : n; // no head kept a row
}

bool compact_cache::others_live() const {
    const live_sequences live = sequences_of(m_kv.get_cells());
    return live.n > 1 || (live.n == 1 && live.first != m_seq_id);
}

int32_t compact_cache::position() const {
    return std::max(m_kv.seq_pos_max(sequence()) + 1, n_context());
}

std::vector<int32_t> compact_cache::cells_by_position(int32_t n) const {
    return edgekv::cells_by_position(m_kv.get_cells(), m_n_kept, sequence(), n);
}

void compact_cache::require_full(const char * what) const {
    if (m_compact) {
        fail(EDGEKV_E_STATE, "%s the full cache, and this one is compact; clear the context and feed it again", what);
    }
}

void compact_cache::settle() {
    m_ctx.synchronize();
    m_ctx.memory_update(false);
}

//
// changes: what takes memory comes first in each, so that a cache without memory is what it was
//

void compact_cache::swap_storage(cache_layer & layer, layer_storage && storage) {
    m_kv.set_storage(layer.shape.il, storage.k, storage.v);
    std::swap(layer.storage, storage);
    m_graphs.drop(std::move(storage.ctx), std::move(storage.buffer));
}

void compact_cache::release_buffers() {
    for (const auto & [il, storage] : m_empty_layers) {
        m_kv.set_storage(il, storage.k, storage.v);
    }
    m_graphs.drop(m_kv.release_buffers());
}

void compact_cache::adopt(compact_form && form) {
    const uint32_t n_kept = most_rows(form.heads);
    llama_kv_cells cells  = compact_cells(n_kept, form.room, form.n_context, form.seq_id, {});

    for (size_t l = 0; l < m_layers.size(); ++l) {
        swap_storage(m_layers[l], std::move(form.storages[l]));
        m_layers[l].heads = std::move(form.heads[l]);
    }
    release_buffers();
    m_kv.set_cells(std::move(cells));

    m_compact   = true;
    m_n_kept    = n_kept;
    m_room      = form.room;
    m_block     = form.block;
    m_n_context = form.n_context;
    m_seq_id    = form.seq_id;
    m_graphs.changed();
    m_graphs.release_pass_memory();
    m_graphs.reserve();
    host_memory_trim();
}

void compact_cache::set_rows(std::vector<std::vector<head_rows>> && heads, int32_t n_context, const cell_list & appended) {
    const uint32_t n_kept = most_rows(heads);
    m_kv.set_cells(compact_cells(n_kept, m_room, n_context, m_seq_id, appended));

    for (size_t l = 0; l < m_layers.size(); ++l) {
        m_layers[l].heads = std::move(heads[l]);
    }
    m_n_kept    = n_kept;
    m_n_context = n_context;
    m_graphs.changed();
}

void compact_cache::replace(cache_layer & layer, layer_storage && storage, std::vector<head_rows> && heads) {
    swap_storage(layer, std::move(storage));
    layer.heads = std::move(heads);
    m_graphs.changed();
}

void compact_cache::set_room(uint32_t room) {
    m_kv.set_cells(with_room(m_kv.get_cells(), m_n_kept + room));
    m_room = room;
    m_graphs.changed();
}

void compact_cache::close_up() {
    m_kv.set_cells(compact_cells(m_n_kept, m_room, (int32_t) m_n_kept, m_seq_id, {}));
    for (auto & layer : m_layers) {
        for (auto & head : layer.heads) {
            std::iota(head.positions.begin(), head.positions.end(), 0);
        }
    }
    m_n_context = (int32_t) m_n_kept;
    m_graphs.changed();
}

void compact_cache::become_full() {
    bytes_by_buft needed;
    for (const auto & layer : m_layers) {
        needed[layer.buft] += storage_bytes(layer, m_n_ctx * (uint32_t) layer.shape.n_head_kv);
    }
    check_memory(needed);

    std::vector<layer_storage>          storages;
    std::vector<std::vector<head_rows>> heads;
    for (const auto & layer : m_layers) {
        storages.push_back(allocate_full(layer, m_n_ctx));
        heads.emplace_back(layer.shape.n_head_kv);
    }
    llama_kv_cells cells;
    cells.resize(m_n_ctx);

    for (size_t l = 0; l < m_layers.size(); ++l) {
        swap_storage(m_layers[l], std::move(storages[l]));
        m_layers[l].heads = std::move(heads[l]);
    }
    m_kv.set_cells(std::move(cells));

    m_compact   = false;
    m_n_kept    = 0;
    m_room      = 0;
    m_n_context = 0;
    m_seq_id    = 0;
    m_graphs.changed();
    host_memory_trim();
}

void compact_cache::become_empty() {
    uint32_t room = std::numeric_limits<uint32_t>::max();
    for (const auto & layer : m_layers) {
        for (const auto & head : layer.heads) {
            room = std::min(room, head.capacity);
        }
    }
    m_kv.set_cells(compact_cells(0, room, 0, 0, {}));

    for (auto & layer : m_layers) {
        ggml_backend_buffer_clear(layer.storage.buffer.get(), 0);
        for (auto & head : layer.heads) {
            head.n = 0;
            head.positions.clear();
        }
    }
    m_n_kept    = 0;
    m_room      = room;
    m_n_context = 0;
    m_seq_id    = 0;
    m_graphs.changed();
}

} // namespace edgekv
