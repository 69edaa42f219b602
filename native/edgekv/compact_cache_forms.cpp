// What linear and quadratic forms make of the cached rows, and weighted sums over them: statistics that look at every channel without taking a row off its device.
#include "compact_cache.h"

#include "objects.h"

#include <algorithm>

namespace edgekv {

namespace {

// numbers that the largest tensor of a graph has at most, where one token's are not more
constexpr int64_t MAX_ELEMENTS = 4 << 20;

int64_t tokens_at_a_time(int64_t n, int64_t elements_per_token) {
    return std::clamp<int64_t>(MAX_ELEMENTS / elements_per_token, 1, n);
}

} // namespace

void compact_cache::row_forms(int32_t which, int32_t l, int32_t form, int32_t n_context, int32_t n_forms, const float * factors,
                              float * out) {
    const cell_range      cells = cells_to_read(l, 0, n_context);
    const compact_layer & layer = m_layers[l];
    const int64_t         d     = head_size(which);
    const bool            plain = form == EDGEKV_FORM_LINEAR;
    const int64_t         step  = tokens_at_a_time(cells.n_cells, m_n_head_kv * d * (plain ? 1 : n_forms));

    std::vector<int32_t> position_of(cells.n_cells, -1);
    for (int32_t i = 0; i < n_context; ++i) {
        position_of[cells.cell_of[i] - cells.start] = i;
    }

    std::vector<float> results;
    for (int64_t first = 0; first < cells.n_cells; first += step) {
        const int64_t n = std::min(step, cells.n_cells - first);

        device_graph   graph("forms of the cache's rows", 24, kept_memory());
        ggml_context * ctx = graph.ctx();

        const rows_graph built = build_rows(graph, layer, which, cells.start + first, n);
        ggml_tensor *    rows  = ggml_cont(ctx, ggml_permute(ctx, built.rows, 0, 2, 1, 3)); // [d, n, n_head_kv]
        ggml_tensor *    given = ggml_new_tensor_3d(ctx, GGML_TYPE_F32, d, plain ? n_forms : d * n_forms, m_n_head_kv);
        ggml_set_input(given);

        ggml_tensor * result;
        if (plain) {
            result = ggml_mul_mat(ctx, rows, given); // [n, n_forms, n_head_kv]
            ggml_mul_mat_set_prec(result, GGML_PREC_F32);
        } else {
            ggml_tensor * turned = ggml_mul_mat(ctx, given, rows);
            ggml_mul_mat_set_prec(turned, GGML_PREC_F32);
            turned = ggml_reshape_4d(ctx, turned, d, n_forms, n, m_n_head_kv);
            turned = form == EDGEKV_FORM_SQUARES ? ggml_sqr(ctx, turned)
                                                 : ggml_mul(ctx, turned, ggml_reshape_4d(ctx, rows, d, 1, n, m_n_head_kv));
            result = ggml_reshape_3d(ctx, ggml_sum_rows(ctx, turned), n_forms, n, m_n_head_kv);
            result = ggml_cont(ctx, ggml_permute(ctx, result, 1, 0, 2, 3)); // [n, n_forms, n_head_kv]
        }
        graph.add(result);
        graph.allocate(layer.buft);
        set_rotation(built.rotation);
        ggml_backend_tensor_set(given, factors, 0, ggml_nbytes(given));
        graph.compute(backend_of(layer.buft));

        results.resize(ggml_nelements(result));
        ggml_backend_tensor_get(result, results.data(), 0, ggml_nbytes(result));
        for (int64_t list = 0; list < (int64_t) m_n_head_kv * n_forms; ++list) {
            for (int64_t i = 0; i < n; ++i) {
                if (const int32_t position = position_of[first + i]; position >= 0) {
                    out[list * n_context + position] = results[list * n + i];
                }
            }
        }
    }
}

void compact_cache::row_moments(int32_t which, int32_t l, int32_t moment, int32_t n_context, int32_t n_sums, const float * weights,
                                double * out) {
    const cell_range      cells = cells_to_read(l, 0, n_context);
    const compact_layer & layer = m_layers[l];
    const int64_t         d     = head_size(which);
    const bool            plain = moment == EDGEKV_MOMENT_FIRST;
    const int64_t         lists = (int64_t) m_n_head_kv * n_sums;
    const int64_t         step  = tokens_at_a_time(cells.n_cells, d * (plain ? m_n_head_kv : lists));

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

        device_graph   graph("sums over the cache's rows", 24, kept_memory());
        ggml_context * ctx = graph.ctx();

        const rows_graph built   = build_rows(graph, layer, which, cells.start + first, n);
        ggml_tensor *    columns = ggml_cont(ctx, ggml_permute(ctx, built.rows, 1, 2, 0, 3)); // [n, d, n_head_kv]
        ggml_tensor *    given   = ggml_new_tensor_3d(ctx, GGML_TYPE_F32, n, n_sums, m_n_head_kv);
        ggml_set_input(given);

        ggml_tensor * weighted = given;
        if (!plain) {
            weighted = ggml_repeat_4d(ctx, ggml_reshape_4d(ctx, columns, n, d, 1, m_n_head_kv), n, d, n_sums, m_n_head_kv);
            weighted = ggml_mul(ctx, weighted, ggml_reshape_4d(ctx, given, n, 1, n_sums, m_n_head_kv));
            weighted = ggml_reshape_3d(ctx, weighted, n, d * n_sums, m_n_head_kv);
        }
        ggml_tensor * result = ggml_mul_mat(ctx, columns, weighted); // [d, n_sums or d * n_sums, n_head_kv]
        ggml_mul_mat_set_prec(result, GGML_PREC_F32);
        graph.add(result);
        graph.allocate(layer.buft);
        set_rotation(built.rotation);
        for (int64_t list = 0; list < lists; ++list) {
            ggml_backend_tensor_set(given, by_cell.data() + list * cells.n_cells + first, list * n * sizeof(float), n * sizeof(float));
        }
        graph.compute(backend_of(layer.buft));

        sums.resize(ggml_nelements(result));
        ggml_backend_tensor_get(result, sums.data(), 0, ggml_nbytes(result));
        for (size_t i = 0; i < sums.size(); ++i) {
            out[i] += sums[i];
        }
    }
}

namespace {

compact_cache & checked(edgekv_context * context, int32_t which) {
    if (!context) {
        fail(EDGEKV_E_ARGUMENT, "no context was given");
    }
    if (which != EDGEKV_ROW_K && which != EDGEKV_ROW_V) {
        fail(EDGEKV_E_ARGUMENT, "there are no rows %d", which);
    }
    return *context->cache;
}

void require_count(const char * what, const void * data, size_t count, size_t needed) {
    if (!data || count != needed) {
        fail(EDGEKV_E_ARGUMENT, "%s are %zu numbers, %zu were given", what, needed, count);
    }
}

} // namespace

} // namespace edgekv

using namespace edgekv;

int32_t edgekv_row_forms(edgekv_context * context, int32_t which, int32_t layer, int32_t form, int32_t n_context, int32_t n_forms,
                         const float * factors, size_t n_factors, float * results, size_t count) {
    return guarded([&] {
        compact_cache & cache = checked(context, which);
        if (form != EDGEKV_FORM_LINEAR && form != EDGEKV_FORM_QUADRATIC && form != EDGEKV_FORM_SQUARES) {
            fail(EDGEKV_E_ARGUMENT, "there is no form %d", form);
        }
        if (n_context < 1 || n_forms < 1) {
            fail(EDGEKV_E_ARGUMENT, "%d forms of %d rows were asked for", n_forms, n_context);
        }
        const size_t d     = cache.head_size(which);
        const size_t lists = (size_t) cache.n_head_kv() * n_forms;
        require_count("factors", factors, n_factors, lists * d * (form == EDGEKV_FORM_LINEAR ? 1 : d));
        require_count("results", results, count, lists * n_context);
        cache.row_forms(which, layer, form, n_context, n_forms, factors, results);
    });
}

int32_t edgekv_row_moments(edgekv_context * context, int32_t which, int32_t layer, int32_t moment, int32_t n_context, int32_t n_sums,
                           const float * weights, size_t n_weights, double * sums, size_t count) {
    return guarded([&] {
        compact_cache & cache = checked(context, which);
        if (moment != EDGEKV_MOMENT_FIRST && moment != EDGEKV_MOMENT_SECOND) {
            fail(EDGEKV_E_ARGUMENT, "there is no moment %d", moment);
        }
        if (n_context < 1 || n_sums < 1) {
            fail(EDGEKV_E_ARGUMENT, "%d sums over %d rows were asked for", n_sums, n_context);
        }
        const size_t d     = cache.head_size(which);
        const size_t lists = (size_t) cache.n_head_kv() * n_sums;
        require_count("weights", weights, n_weights, lists * n_context);
        require_count("sums", sums, count, lists * d * (moment == EDGEKV_MOMENT_FIRST ? 1 : d));
        cache.row_moments(which, layer, moment, n_context, n_sums, weights, sums);
    });
}
