#include "cache/rows.h"

#include "base/error.h"

#include "llama-impl.h"

#include <algorithm>
#include <new>

namespace edgekv {

rows_graph build_rows(const compact_cache & cache, device_graph & graph, const cache_layer & layer, int32_t which, int64_t first,
                      int64_t n) {
    ggml_context *   ctx = graph.ctx();
    llama_kv_cache & kv  = cache.kv();

    ggml_tensor * storage = which == EDGEKV_ROW_K ? kv.get_k_storage(layer.shape.il) : kv.get_v_storage(layer.shape.il);

    rows_graph result;
    result.rows = ggml_view_2d(ctx, storage, storage->ne[0], n, storage->nb[1], first * storage->nb[1]);
    result.rows = ggml_cast(ctx, result.rows, GGML_TYPE_F32);
    result.rows = ggml_reshape_3d(ctx, result.rows, layer.shape.head_size(which), layer.shape.n_head_kv, n);

    // llama.cpp multiplies what it quantizes by a Hadamard matrix, which is its own inverse
    result.rotation = which == EDGEKV_ROW_K ? kv.build_input_k_rot(ctx) : kv.build_input_v_rot(ctx);
    if (result.rotation) {
        result.rows = llama_mul_mat_hadamard(ctx, result.rows, result.rotation);
    }
    return result;
}

void set_rotation(const compact_cache & cache, ggml_tensor * rotation) {
    if (!rotation) {
        return;
    }
    // llama.cpp fills host tensors only
    ggml_context_ptr        ctx  = new_context(1);
    ggml_tensor *           host = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F32, rotation->ne[0], rotation->ne[1]);
    ggml_backend_buffer_ptr buffer{ ggml_backend_alloc_ctx_tensors_from_buft(ctx.get(), ggml_backend_cpu_buffer_type()) };
    if (!buffer) {
        throw std::bad_alloc();
    }
    cache.kv().set_input_k_rot(host); // both look the matrix up by its size
    ggml_backend_tensor_set(rotation, host->data, 0, ggml_nbytes(host));
}

cell_range cells_to_read(compact_cache & cache, int32_t first, int32_t n) {
    cache.require_full("rows are read from");
    if (first < 0 || n < 0 || first > cache.position() - n) {
        fail(EDGEKV_E_ARGUMENT, "rows of positions %d .. %d were asked for, the cache has %d", first, first + n - 1, cache.position());
    }

    cell_range range;
    if (n == 0) {
        return range;
    }

    cache.settle();

    range.cell_of = cache.cells_by_position(first + n);
    range.cell_of.erase(range.cell_of.begin(), range.cell_of.begin() + first);
    for (int32_t i = 0; i < n; ++i) {
        if (range.cell_of[i] < 0) {
            fail(EDGEKV_E_STATE, "position %d is not in the cache", first + i);
        }
    }
    const auto [low, high] = std::minmax_element(range.cell_of.begin(), range.cell_of.end());
    range.start            = *low;
    range.n_cells          = *high - range.start + 1;
    return range;
}

void read_rows(compact_cache & cache, int32_t which, int32_t l, int32_t first, int32_t n, float * out) {
    const layer_shape & shape = cache.geometry().layer(l);
    const cell_range    cells = cells_to_read(cache, first, n);
    if (n == 0) {
        return;
    }

    const cache_layer & layer = cache.layer(l);

    device_graph     graph("rows of the cache", 16, cache.graphs().kept_memory());
    const rows_graph built = build_rows(cache, graph, layer, which, cells.start, cells.n_cells);
    graph.add(built.rows);
    graph.allocate(layer.buft);
    set_rotation(cache, built.rotation);
    graph.compute(cache.graphs().backend_of(layer.buft));

    // runs of cells, which is one where nothing was taken back in between
    const std::vector<int32_t> & cell_of = cells.cell_of;
    const size_t                 row     = (size_t) shape.n_head_kv * shape.head_size(which);
    for (int32_t i = 0; i < n;) {
        int32_t end = i + 1;
        while (end < n && cell_of[end] == cell_of[end - 1] + 1) {
            ++end;
        }
        ggml_backend_tensor_get(built.rows, out + i * row, (cell_of[i] - cells.start) * row * sizeof(float),
                                (end - i) * row * sizeof(float));
        i = end;
    }
}

} // namespace edgekv
