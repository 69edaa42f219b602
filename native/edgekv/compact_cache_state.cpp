// A compact cache in llama.cpp's state files: geometry, positions and cells first, then the rows in use.
#include "compact_cache.h"

#include "llama-io.h"
#include "memory.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace edgekv {

namespace {

constexpr uint32_t STATE_VERSION = 1;

template <typename T>
void write(llama_io_write_i & io, const T & value) {
    io.write(&value, sizeof(value));
}

template <typename T>
T read(llama_io_read_i & io) {
    T value;
    io.read(&value, sizeof(value));
    return value;
}

// Numbers from a file are checked before they are used as sizes or indices.
void expect(bool condition, const char * what) {
    if (!condition) {
        throw std::runtime_error(text("the saved cache does not fit: %s", what));
    }
}

} // namespace

void compact_cache::state_write(llama_io_write_i & io) const {
    const auto appended = appended_cells();

    // rows behind the kept ones that have to be carried
    const uint32_t n_behind = appended.empty() ? 0 : appended.back().first + 1 - m_n_kept;

    write<uint32_t>(io, STATE_VERSION);
    write<uint32_t>(io, (uint32_t) m_layers.size());
    write<uint32_t>(io, (uint32_t) m_n_head_kv);
    write<int32_t>(io, m_type_k);
    write<int32_t>(io, m_type_v);
    write<int64_t>(io, m_d_k);
    write<int64_t>(io, m_d_v);
    write<llama_seq_id>(io, sequence());
    write<int32_t>(io, m_n_context);
    write<uint32_t>(io, n_behind);

    for (const auto & layer : m_layers) {
        for (const auto & head : layer.heads) {
            write<uint32_t>(io, head.n);
            io.write(head.positions.data(), head.positions.size() * sizeof(int32_t));
        }
    }

    write<uint32_t>(io, (uint32_t) appended.size());
    for (const auto & [cell, pos] : appended) {
        write<uint32_t>(io, cell - m_n_kept);
        write<int32_t>(io, pos);
    }

    for (const auto & layer : m_layers) {
        for (ggml_tensor * t : { layer.storage.k, layer.storage.v }) {
            for (const auto & head : layer.heads) {
                if (head.n + n_behind > 0) {
                    io.write_tensor(t, head.offset * t->nb[1], (head.n + n_behind) * t->nb[1]);
                }
            }
        }
    }
}

void compact_cache::state_read(llama_io_read_i & io, llama_seq_id seq_id) {
    const uint32_t window = m_ctx.get_model().hparams.n_ctx_train;

    expect(read<uint32_t>(io) == STATE_VERSION, "it is of another version");
    expect(read<uint32_t>(io) == m_layers.size(), "the model has another number of layers");
    expect(read<uint32_t>(io) == (uint32_t) m_n_head_kv, "the model has another number of KV heads");
    expect(read<int32_t>(io) == m_type_k && read<int32_t>(io) == m_type_v, "the cache has another type");
    expect(read<int64_t>(io) == m_d_k && read<int64_t>(io) == m_d_v, "the model has another head size");

    const llama_seq_id seq_saved = read<llama_seq_id>(io);
    expect(seq_saved >= 0 && seq_saved < LLAMA_MAX_SEQ, "a sequence is out of range");
    if (seq_id < 0) {
        seq_id = seq_saved;
    }

    const int32_t  n_context = read<int32_t>(io);
    const uint32_t n_behind  = read<uint32_t>(io);
    expect(n_context >= 0 && (uint32_t) n_context <= window, "its context is longer than the model's window");
    expect(n_behind <= window, "it has more later tokens than the model's window");

    std::vector<std::vector<head_rows>> heads(m_layers.size(), std::vector<head_rows>(m_n_head_kv));

    uint32_t n_kept = 0;
    for (auto & layer : heads) {
        for (auto & head : layer) {
            head.n = read<uint32_t>(io);
            expect(head.n <= (uint32_t) n_context, "a KV head has more rows than the context has tokens");

            head.positions.resize(head.n);
            io.read(head.positions.data(), head.n * sizeof(int32_t));
            for (uint32_t i = 0; i < head.n; ++i) {
                expect(head.positions[i] >= (i ? head.positions[i - 1] + 1 : 0) && head.positions[i] < n_context,
                       "positions are not ascending");
            }
            n_kept = std::max(n_kept, head.n);
        }
    }

    const uint32_t n_appended = read<uint32_t>(io);
    expect(n_appended <= n_behind, "it has more cells than rows");

    std::vector<std::pair<uint32_t, llama_pos>> appended;
    std::vector<bool>                           taken(n_behind);
    for (uint32_t i = 0; i < n_appended; ++i) {
        const uint32_t  slot = read<uint32_t>(io);
        const llama_pos pos  = read<int32_t>(io);
        expect(slot < n_behind && !taken[slot], "a cell is out of range");
        expect(pos >= n_context && (uint32_t) pos < window, "a position is out of range");
        taken[slot] = true;
        appended.emplace_back(n_kept + slot, pos);
    }

    m_ctx.synchronize();

    const uint32_t room = (n_behind / m_block + 1) * m_block;

    std::vector<layer_storage> storages = allocate_all(heads, room);

    // From here on a reader may hold pointers to the new tensors until after a failure (llama_io_read_host writes to them in its destructor), so they become the cache's
    // now, with no rows in use until all have been read.
    for (size_t l = 0; l < m_layers.size(); ++l) {
        replace(m_layers[l], std::move(storages[l]));
        m_layers[l].heads = std::vector<head_rows>(m_n_head_kv);
        for (int32_t h = 0; h < m_n_head_kv; ++h) {
            m_layers[l].heads[h].offset   = heads[l][h].offset;
            m_layers[l].heads[h].capacity = heads[l][h].capacity;
        }
    }
    release_buffers();

    m_compact   = true;
    m_n_kept    = 0;
    m_room      = room;
    m_n_context = 0;
    use_cells(seq_id, {});
    changed();

    for (const auto & layer : m_layers) {
        for (ggml_tensor * t : { layer.storage.k, layer.storage.v }) {
            for (const auto & head : heads[m_layer_of[layer.il]]) {
                if (head.n + n_behind > 0) {
                    io.read_tensor(t, head.offset * t->nb[1], (head.n + n_behind) * t->nb[1]);
                }
            }
        }
    }

    for (size_t l = 0; l < m_layers.size(); ++l) {
        m_layers[l].heads = std::move(heads[l]);
    }
    m_n_kept    = n_kept;
    m_n_context = n_context;
    use_cells(seq_id, appended);
    changed();
    reserve();
    host_memory_trim();
}

} // namespace edgekv
