#include "cache/cells.h"

#include "base/error.h"

#include "llama-cparams.h"

namespace edgekv {

live_sequences sequences_of(const llama_kv_cells & cells) {
    live_sequences live;
    for (llama_seq_id s = 0; s < LLAMA_MAX_SEQ; ++s) {
        if (cells.seq_pos_max(s) >= 0) {
            live.first = live.n++ == 0 ? s : live.first;
        }
    }
    return live;
}

cell_list used_cells(const llama_kv_cells & cells, uint32_t first_cell) {
    cell_list result;
    for (uint32_t i = first_cell; i < cells.used_max_p1(); ++i) {
        if (!cells.is_empty(i)) {
            result.emplace_back(i, cells.pos_get(i));
        }
    }
    return result;
}

std::vector<int32_t> cells_by_position(const llama_kv_cells & cells, uint32_t first_cell, llama_seq_id seq_id, int32_t n) {
    std::vector<int32_t> result(n, -1);
    for (const auto & [cell, pos] : used_cells(cells, first_cell)) {
        if (cells.seq_count(cell) != 1 || !cells.seq_has(cell, seq_id)) {
            fail(EDGEKV_E_STATE, "the cache holds several sequences; one per context is what can be made compact");
        }
        if (pos >= n) {
            continue;
        }
        if (result[pos] >= 0) {
            fail(EDGEKV_E_STATE, "position %d is in the cache twice", pos);
        }
        result[pos] = (int32_t) cell;
    }
    return result;
}

llama_kv_cells compact_cells(uint32_t n_kept, uint32_t room, int32_t n_context, llama_seq_id seq_id, const cell_list & appended) {
    llama_kv_cells cells;
    cells.resize(n_kept + room);
    for (uint32_t i = 0; i < n_kept; ++i) {
        cells.pos_set(i, n_context - (llama_pos) n_kept + (llama_pos) i);
        cells.seq_add(i, seq_id);
    }
    for (const auto & [cell, pos] : appended) {
        cells.pos_set(cell, pos);
        cells.seq_add(cell, seq_id);
    }
    return cells;
}

llama_kv_cells with_room(const llama_kv_cells & cells, uint32_t n) {
    llama_kv_cells result;
    result.resize(n);
    for (const auto & [cell, pos] : used_cells(cells, 0)) {
        result.pos_set(cell, pos);
        for (llama_seq_id s = 0; s < LLAMA_MAX_SEQ; ++s) {
            if (cells.seq_has(cell, s)) {
                result.seq_add(cell, s);
            }
        }
    }
    return result;
}

} // namespace edgekv
