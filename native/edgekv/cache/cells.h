// llama.cpp's cells: which positions of which sequences a cache holds.
#pragma once

#include "llama-kv-cells.h"
#include "llama.h"

#include <cstdint>
#include <utility>
#include <vector>

namespace edgekv {

using cell_list = std::vector<std::pair<uint32_t, llama_pos>>; // cells in use with their positions, in the cells' order

// Sequences that have tokens, and the lowest of them.
struct live_sequences {
    int32_t      n     = 0;
    llama_seq_id first = -1;
};

live_sequences sequences_of(const llama_kv_cells & cells);

// Cells from first_cell on that are in use.
cell_list used_cells(const llama_kv_cells & cells, uint32_t first_cell);

// Cells of positions 0 .. n-1 of the one sequence, among those from first_cell on; -1 where there is none. Throws EDGEKV_E_STATE when a cell is not of the sequence alone, or a
// position is there twice.
std::vector<int32_t> cells_by_position(const llama_kv_cells & cells, uint32_t first_cell, llama_seq_id seq_id, int32_t n);

// n_kept cells that end at position n_context, room more, of which those that appended names are in use.
llama_kv_cells compact_cells(uint32_t n_kept, uint32_t room, int32_t n_context, llama_seq_id seq_id, const cell_list & appended);

// The same, with room behind them up to n.
llama_kv_cells with_room(const llama_kv_cells & cells, uint32_t n);

} // namespace edgekv
