// Statistics that look at every channel of the rows without taking a row off its device.
#include "base/error.h"
#include "cache/rows.h"

#include "ggml-backend.h"

#include <algorithm>

namespace edgekv {

namespace {

// numbers that the largest tensor of a graph has at most, where one token's are not more
constexpr int64_t MAX_ELEMENTS = 4 << 20;

int64_t tokens_at_a_time(int64_t n, int64_t elements_per_token) {
    return std::clamp<int64_t>(MAX_ELEMENTS / elements_per_token, 1, n);
}

} // namespace

void read_forms(compact_cache & cache, int32_t which, int32_t l, int32_t form, int32_t n_context, int32_t n_forms, const float * factors,
                float * out) {
    const layer_shape & shape     = cache.geometry().layer(l);
    const cell_range    cells     = cells_to_read(cache, 0, n_context);
    const cache_layer & layer     = cache.layer(l);
    const int32_t       n_head_kv = shape.n_head_kv;
    const int64_t       d         = shape.head_size(which);
    const bool          plain     = form == EDGEKV_FORM_LINEAR;
    const int64_t       step      = tokens_at_a_time(cells.n_cells, n_head_kv * d * (plain ? 1 : n_forms));

    std::vector<int32_t> position_of(cells.n_cells, -1);
    for (int32_t i = 0; i < n_context; ++i) {
        position_of[cells.cell_of[i] - cells.start] = i;
    }

    std::vector<float> results;
    for (int64_t first = 0; first < cells.n_cells; first += step) {
        const int64_t n = std::min(step, cells.n_cells - first);

        device_graph   graph("forms of the cache's rows", 24, cache.graphs().kept_memory());
        ggml_context * ctx = graph.ctx();

        const rows_graph built = build_rows(cache, graph, layer, which, cells.start + first, n);
        ggml_tensor *    rows  = ggml_cont(ctx, ggml_permute(ctx, built.rows, 0, 2, 1, 3)); // [d, n, n_head_kv]
        ggml_tensor *    given = ggml_new_tensor_3d(ctx, GGML_TYPE_F32, d, plain ? n_forms : d * n_forms, n_head_kv);
        ggml_set_input(given);

        ggml_tensor * result;
        if (plain) {
            result = ggml_mul_mat(ctx, rows, given); // [n, n_forms, n_head_kv]
            ggml_mul_mat_set_prec(result, GGML_PREC_F32);
        } else {
            ggml_tensor * turned = ggml_mul_mat(ctx, given, rows);
            ggml_mul_mat_set_prec(turned, GGML_PREC_F32);
            turned = ggml_reshape_4d(ctx, turned, d, n_forms, n, n_head_kv);
            turned =
                form == EDGEKV_FORM_SQUARES ? ggml_sqr(ctx, turned) : ggml_mul(ctx, turned, ggml_reshape_4d(ctx, rows, d, 1, n, n_head_kv));
            result = ggml_reshape_3d(ctx, ggml_sum_rows(ctx, turned), n_forms, n, n_head_kv);
            result = ggml_cont(ctx, ggml_permute(ctx, result, 1, 0, 2, 3)); // [n, n_forms, n_head_kv]
        }
        graph.add(result);
        graph.allocate(layer.buft);
        set_rotation(cache, built.rotation);
        ggml_backend_tensor_set(given, factors, 0, ggml_nbytes(given));
        graph.compute(cache.graphs().backend_of(layer.buft));

        results.resize(ggml_nelements(result));
        ggml_backend_tensor_get(result, results.data(), 0, ggml_nbytes(result));
        for (int64_t list = 0; list < (int64_t) n_head_kv * n_forms; ++list) {
            for (int64_t i = 0; i < n; ++i) {
                if (const int32_t position = position_of[first + i]; position >= 0) {
                    out[list * n_context + position] = results[list * n + i];
                }
            }
        }
    }
}

void read_moments(compact_cache & cache, int32_t which, int32_t l, int32_t moment, int32_t n_context, int32_t n_sums, const float * weights,
                  double * out) {
    const layer_shape & shape     = cache.geometry().layer(l);
    const cell_range    cells     = cells_to_read(cache, 0, n_context);
    const cache_layer & layer     = cache.layer(l);
    const int32_t       n_head_kv = shape.n_head_kv;
    const int64_t       d         = shape.head_size(which);
    const bool          plain     = moment == EDGEKV_MOMENT_FIRST;
    const int64_t       lists     = (int64_t) n_head_kv * n_sums;
    const int64_t       step      = tokens_at_a_time(cells.n_cells, d * (plain ? n_head_kv : lists));

    std::fill_n(out, lists * d * (plain ? 1 : d), 0.0);

    // cells of other tokens weigh nothing
    std::vector<float> by_cell(lists * cells.n_cells, 0.0f);
    for (int64_t list = 0; list < lists; ++list) {
        for (int32_t i = 0; i < n_context; ++i) {
            by_cell[list * cells.n_cells + cells.cell_of[i] - cells.start] = weights[list * n_context + i];
        }
    }

    std::vector<float> sums;
    for (int64_t first = 0; first < cells.n_cells; first += step) {
        const int64_t n = std::min(step, cells.n_cells - first);

        device_graph   graph("sums over the cache's rows", 24, cache.graphs().kept_memory());
        ggml_context * ctx = graph.ctx();

        const rows_graph built   = build_rows(cache, graph, layer, which, cells.start + first, n);
        ggml_tensor *    columns = ggml_cont(ctx, ggml_permute(ctx, built.rows, 1, 2, 0, 3)); // [n, d, n_head_kv]
        ggml_tensor *    given   = ggml_new_tensor_3d(ctx, GGML_TYPE_F32, n, n_sums, n_head_kv);
        ggml_set_input(given);

        ggml_tensor * weighted = given;
        if (!plain) {
            weighted = ggml_repeat_4d(ctx, ggml_reshape_4d(ctx, columns, n, d, 1, n_head_kv), n, d, n_sums, n_head_kv);
            weighted = ggml_mul(ctx, weighted, ggml_reshape_4d(ctx, given, n, 1, n_sums, n_head_kv));
            weighted = ggml_reshape_3d(ctx, weighted, n, d * n_sums, n_head_kv);
        }
        ggml_tensor * result = ggml_mul_mat(ctx, columns, weighted); // [d, n_sums or d * n_sums, n_head_kv]
        ggml_mul_mat_set_prec(result, GGML_PREC_F32);
        graph.add(result);
        graph.allocate(layer.buft);
        set_rotation(cache, built.rotation);
        for (int64_t list = 0; list < lists; ++list) {
            ggml_backend_tensor_set(given, by_cell.data() + list * cells.n_cells + first, list * n * sizeof(float), n * sizeof(float));
        }
        graph.compute(cache.graphs().backend_of(layer.buft));

        sums.resize(ggml_nelements(result));
        ggml_backend_tensor_get(result, sums.data(), 0, ggml_nbytes(result));
        for (size_t i = 0; i < sums.size(); ++i) {
            out[i] += sums[i];
        }
    }
}

void read_norms(compact_cache & cache, int32_t which, int32_t n_context, float * out) {
    cache.require_full("norms need");
    if (n_context < 0 || n_context > cache.position()) {
        fail(EDGEKV_E_ARGUMENT, "norms of %d positions were asked for, the cache has %d", n_context, cache.position());
    }
    if (n_context == 0) {
        return;
    }

    const cell_range   cells   = cells_to_read(cache, 0, n_context);
    const int64_t      n_cells = cells.start + cells.n_cells;
    std::vector<float> by_cell;

    for (const auto & layer : cache.layers()) {
        const layer_shape & shape = layer.shape;

        ggml_tensor * rows = which == EDGEKV_NORM_K ? cache.kv().get_k_storage(shape.il) : cache.kv().get_v_storage(shape.il);
        const int64_t d    = which == EDGEKV_NORM_K ? shape.d_k : shape.d_v;

        device_graph  graph("norms of the cache", 16, cache.graphs().kept_memory());
        ggml_tensor * cur = ggml_view_2d(graph.ctx(), rows, rows->ne[0], n_cells, rows->nb[1], 0);
        cur               = ggml_cast(graph.ctx(), cur, GGML_TYPE_F32);
        cur               = ggml_reshape_2d(graph.ctx(), cur, d, shape.n_head_kv * n_cells);
        cur               = ggml_sqrt(graph.ctx(), ggml_sum_rows(graph.ctx(), ggml_sqr(graph.ctx(), cur)));
        graph.add(cur);
        graph.allocate(layer.buft);
        graph.compute(cache.graphs().backend_of(layer.buft));

        by_cell.resize(n_cells * shape.n_head_kv);
        ggml_backend_tensor_get(cur, by_cell.data(), 0, by_cell.size() * sizeof(float));

        for (int32_t h = 0; h < shape.n_head_kv; ++h) {
            for (int32_t p = 0; p < n_context; ++p) {
                out[(shape.first_head_kv + h) * n_context + p] = by_cell[(size_t) cells.cell_of[p] * shape.n_head_kv + h];
            }
        }
    }
}

} // namespace edgekv
