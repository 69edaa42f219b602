#include "cache/state.h"

#include "base/error.h"

#include "llama-cparams.h"
#include "llama-io.h"

#include <algorithm>
#include <stdexcept>

namespace edgekv {

namespace {

constexpr uint32_t STATE_VERSION = 2;

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

// f(tensor, offset, bytes) for the rows in use of every head, with n_behind of the later tokens' ones
template <typename F>
void for_rows(const compact_cache & cache, const std::vector<std::vector<head_rows>> & heads, uint32_t n_behind, F && f) {
    for (size_t l = 0; l < heads.size(); ++l) {
        const layer_storage & storage = cache.layers()[l].storage;
        for (ggml_tensor * t : { storage.k, storage.v }) {
            for (const auto & head : heads[l]) {
                if (head.n + n_behind > 0) {
                    f(t, head.offset * t->nb[1], (head.n + n_behind) * t->nb[1]);
                }
            }
        }
    }
}

void expect_geometry(const compact_cache & cache, llama_io_read_i & io) {
    expect(read<uint32_t>(io) == STATE_VERSION, "it is of another version");
    expect(read<uint32_t>(io) == cache.layers().size(), "the model has another number of layers");
    expect(read<int32_t>(io) == cache.type(EDGEKV_ROW_K), "the cache has another type of keys");
    expect(read<int32_t>(io) == cache.type(EDGEKV_ROW_V), "the cache has another type of values");
    for (const auto & layer : cache.layers()) {
        expect(read<int32_t>(io) == layer.shape.n_head_kv, "a layer of the model has another number of KV heads");
        expect(read<int64_t>(io) == layer.shape.d_k, "a layer of the model has another size of keys");
        expect(read<int64_t>(io) == layer.shape.d_v, "a layer of the model has another size of values");
    }
}

std::vector<std::vector<head_rows>> read_heads(const compact_cache & cache, llama_io_read_i & io, int32_t n_context) {
    std::vector<std::vector<head_rows>> heads;
    for (const auto & layer : cache.layers()) {
        heads.emplace_back(layer.shape.n_head_kv);
        for (auto & head : heads.back()) {
            head.n = read<uint32_t>(io);
            expect(head.n <= (uint32_t) n_context, "a KV head has more rows than the context has tokens");

            head.positions.resize(head.n);
            io.read(head.positions.data(), head.n * sizeof(int32_t));
            for (uint32_t i = 0; i < head.n; ++i) {
                expect(head.positions[i] >= (i ? head.positions[i - 1] + 1 : 0) && head.positions[i] < n_context,
                       "positions are not ascending");
            }
        }
    }
    return heads;
}

// Cells are counted from the first one behind the kept rows.
cell_list read_appended(const compact_cache & cache, llama_io_read_i & io, int32_t n_context, uint32_t n_behind) {
    const uint32_t n_appended = read<uint32_t>(io);
    expect(n_appended <= n_behind, "it has more cells than rows");

    cell_list         appended;
    std::vector<bool> taken(n_behind);
    for (uint32_t i = 0; i < n_appended; ++i) {
        const uint32_t  slot = read<uint32_t>(io);
        const llama_pos pos  = read<int32_t>(io);
        expect(slot < n_behind && !taken[slot], "a cell is out of range");
        expect(pos >= n_context && (uint32_t) pos < cache.window(), "a position is out of range");
        taken[slot] = true;
        appended.emplace_back(slot, pos);
    }
    return appended;
}

} // namespace

void write_state(const compact_cache & cache, llama_io_write_i & io) {
    const auto     appended = cache.appended();
    const uint32_t n_behind =
        appended.empty() ? 0 : appended.back().first + 1 - cache.n_kept(); // rows behind the kept ones that have to be carried

    std::vector<std::vector<head_rows>> heads;
    for (const auto & layer : cache.layers()) {
        heads.push_back(layer.heads);
    }

    write<uint32_t>(io, STATE_VERSION);
    write<uint32_t>(io, (uint32_t) cache.layers().size());
    write<int32_t>(io, cache.type(EDGEKV_ROW_K));
    write<int32_t>(io, cache.type(EDGEKV_ROW_V));
    for (const auto & layer : cache.layers()) {
        write<int32_t>(io, layer.shape.n_head_kv);
        write<int64_t>(io, layer.shape.d_k);
        write<int64_t>(io, layer.shape.d_v);
    }
    write<llama_seq_id>(io, cache.sequence());
    write<int32_t>(io, cache.n_context());
    write<uint32_t>(io, n_behind);

    for (const auto & layer : heads) {
        for (const auto & head : layer) {
            write<uint32_t>(io, head.n);
            io.write(head.positions.data(), head.positions.size() * sizeof(int32_t));
        }
    }

    write<uint32_t>(io, (uint32_t) appended.size());
    for (const auto & [cell, pos] : appended) {
        write<uint32_t>(io, cell - cache.n_kept());
        write<int32_t>(io, pos);
    }
    for_rows(cache, heads, n_behind, [&](ggml_tensor * t, size_t offset, size_t bytes) { io.write_tensor(t, offset, bytes); });
}

void read_state(compact_cache & cache, llama_io_read_i & io, llama_seq_id seq_id) {
    expect_geometry(cache, io);

    const llama_seq_id seq_saved = read<llama_seq_id>(io);
    expect(seq_saved >= 0 && seq_saved < LLAMA_MAX_SEQ, "a sequence is out of range");
    const int32_t  n_context = read<int32_t>(io);
    const uint32_t n_behind  = read<uint32_t>(io);
    expect(n_context >= 0 && (uint32_t) n_context <= cache.window(), "its context is longer than the model's window");
    expect(n_behind <= cache.window(), "it has more later tokens than the model's window");

    auto heads    = read_heads(cache, io, n_context);
    auto appended = read_appended(cache, io, n_context, n_behind);

    cache.ctx().synchronize();

    // From here on a reader may hold pointers to the new tensors until after a failure (llama_io_read_host writes to them in its destructor), so they become the cache's
    // now, with no rows in use until all have been read.
    compact_form form;
    form.block    = cache.block();
    form.room     = (n_behind / form.block + 1) * form.block;
    form.seq_id   = seq_id < 0 ? seq_saved : seq_id;
    form.storages = allocate_all(cache.layers(), heads, form.room);
    form.heads    = heads;

    uint32_t n_kept = 0;
    for (auto & layer : form.heads) {
        for (auto & head : layer) {
            n_kept = std::max(n_kept, head.n);
            head.n = 0;
            head.positions.clear();
        }
    }
    for (auto & [cell, pos] : appended) {
        cell += n_kept;
    }
    cache.tokens().forget_all();
    cache.adopt(std::move(form));

    for_rows(cache, heads, n_behind, [&](ggml_tensor * t, size_t offset, size_t bytes) { io.read_tensor(t, offset, bytes); });
    cache.set_rows(std::move(heads), n_context, appended);
    cache.graphs().reserve();
}

} // namespace edgekv
