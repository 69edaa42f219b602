// The rows of a full cache, as the model made them, and what is computed from them where they lie.
#pragma once

#include "cache/cache.h"

#include <cstdint>
#include <vector>

namespace edgekv {

// Cells of positions, and the stretch of cells that holds them all, others' among them.
struct cell_range {
    std::vector<int32_t> cell_of; // by position
    int64_t              start   = 0;
    int64_t              n_cells = 0;
};

// Of positions first .. first + n - 1. Throws EDGEKV_E_STATE, EDGEKV_E_ARGUMENT. Nothing waits to be done to the cells afterwards.
cell_range cells_to_read(compact_cache & cache, int32_t first, int32_t n);

// Part of a graph that reads rows in f32.
struct rows_graph {
    ggml_tensor * rows     = nullptr; // [d, n_head_kv, n]
    ggml_tensor * rotation = nullptr; // for set_rotation() once memory is there; null: none
};

// The rows of cells first .. first + n - 1. which: an edgekv_row.
rows_graph build_rows(const compact_cache & cache, device_graph & graph, const cache_layer & layer, int32_t which, int64_t first,
                      int64_t n);
void       set_rotation(const compact_cache & cache, ggml_tensor * rotation);

// As edgekv_rows, edgekv_norms, edgekv_row_forms, edgekv_row_moments and edgekv_output_norms.
void read_rows(compact_cache & cache, int32_t which, int32_t layer, int32_t first, int32_t n, float * out);
void read_norms(compact_cache & cache, int32_t which, int32_t n_context, float * out);
void read_forms(compact_cache & cache, int32_t which, int32_t layer, int32_t form, int32_t n_context, int32_t n_forms,
                const float * factors, float * out);
void read_moments(compact_cache & cache, int32_t which, int32_t layer, int32_t moment, int32_t n_context, int32_t n_sums,
                  const float * weights, double * out);
void read_output_norms(compact_cache & cache, int32_t kind, int32_t n_context, float * out);

// Throws EDGEKV_E_UNSUPPORTED where something lies between a layer's heads and its output matrix.
void require_output_matrix(const compact_cache & cache);

} // namespace edgekv
