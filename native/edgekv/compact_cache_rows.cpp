// The cached rows themselves, as policies read them.
#include "compact_cache.h"

#include "llama-impl.h"

#include <algorithm>
#include <new>

namespace edgekv {

rows_graph compact_cache::build_rows(device_graph & graph, const compact_layer & layer, int32_t which, int64_t first, int64_t n) const {
    ggml_context * ctx = graph.ctx();

    ggml_tensor * storage = which == EDGEKV_ROW_K ? m_kv.get_k_storage(layer.il) : m_kv.get_v_storage(layer.il);

    rows_graph result;
    result.rows = ggml_view_2d(ctx, storage, storage->ne[0], n, storage->nb[1], first * storage->nb[1]);
    result.rows = ggml_cast(ctx, result.rows, GGML_TYPE_F32);
    result.rows = ggml_reshape_3d(ctx, result.rows, head_size(which), m_n_head_kv, n);

    // llama.cpp multiplies what it quantizes by a Hadamard matrix, which is its own inverse
    result.rotation = which == EDGEKV_ROW_K ? m_kv.build_input_k_rot(ctx) : m_kv.build_input_v_rot(ctx);
    if (result.rotation) {
        result.rows = llama_mul_mat_hadamard(ctx, result.rows, result.rotation);
    }
    return result;
}

void compact_cache::set_rotation(ggml_tensor * rotation) const {
    if (!rotation) {
        return;
    }
    // llama.cpp fills host tensors only
    const ggml_init_params params = {
        /*.mem_size   =*/ggml_tensor_overhead(),
        /*.mem_buffer =*/nullptr,
        /*.no_alloc   =*/true,
    };
    ggml_context_ptr        ctx{ ggml_init(params) };
    ggml_tensor *           host = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F32, rotation->ne[0], rotation->ne[1]);
    ggml_backend_buffer_ptr buffer{ ggml_backend_alloc_ctx_tensors_from_buft(ctx.get(), ggml_backend_cpu_buffer_type()) };
    if (!buffer) {
        throw std::bad_alloc();
    }
    m_kv.set_input_k_rot(host); // both look the matrix up by its size
    ggml_backend_tensor_set(rotation, host->data, 0, ggml_nbytes(host));
}

compact_cache::cell_range compact_cache::cells_to_read(int32_t l, int32_t first, int32_t n) {
    if (m_compact) {
        fail(EDGEKV_E_STATE, "rows are read from the full cache, and this one is compact");
    }
    if (l < 0 || l >= n_layer()) {
        fail(EDGEKV_E_ARGUMENT, "there is no layer %d, the model has %d", l, n_layer());
    }
    if (first < 0 || n < 0 || first > position() - n) {
        fail(EDGEKV_E_ARGUMENT, "rows of positions %d .. %d were asked for, the cache has %d", first, first + n - 1, position());
    }

    cell_range range;
    if (n == 0) {
        return range;
    }

    m_ctx.synchronize();
    m_ctx.memory_update(false); // a shift that waits

    range.cell_of = cells_by_position(first + n);
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

void compact_cache::rows(int32_t which, int32_t l, int32_t first, int32_t n, float * out) {
    const cell_range cells = cells_to_read(l, first, n);
    if (n == 0) {
        return;
    }

    const compact_layer & layer = m_layers[l];

    device_graph     graph("rows of the cache", 16, kept_memory());
    const rows_graph built = build_rows(graph, layer, which, cells.start, cells.n_cells);
    graph.add(built.rows);
    graph.allocate(layer.buft);
    set_rotation(built.rotation);
    graph.compute(backend_of(layer.buft));

    // runs of cells, which is one where nothing was taken back in between
    const std::vector<int32_t> & cell_of = cells.cell_of;
    const size_t                 row     = (size_t) m_n_head_kv * head_size(which);
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
