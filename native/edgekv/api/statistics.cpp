// What is read from the rows of a full cache, and what was read while a graph ran.
#include "api/call.h"
#include "cache/rows.h"

using namespace edgekv;

namespace {

void require_rows(int32_t which) {
    if (which != EDGEKV_ROW_K && which != EDGEKV_ROW_V) {
        fail(EDGEKV_E_ARGUMENT, "there are no rows %d", which);
    }
}

} // namespace

int32_t edgekv_queries_keep(llama_context * ctx, bool keep, int32_t first) {
    return on_context(ctx, [&](context_ext & context) { context.queries.keep(keep, first); });
}

int32_t edgekv_queries(llama_context * ctx, int32_t which, int32_t layer, double * sums, size_t count) {
    return on_context(ctx, [&](context_ext & context) {
        require(sums, "place for the sums was");
        if (which < EDGEKV_QUERIES_Q || which > EDGEKV_QUERIES_QQ_ROTATED) {
            fail(EDGEKV_E_ARGUMENT, "there is no sum %d", which);
        }
        context.queries.read(which, layer, sums, count);
    });
}

int64_t edgekv_queries_count(llama_context * ctx) {
    int64_t n = 0;
    on_context(ctx, [&](context_ext & context) { n = context.queries.n_tokens(); });
    return n;
}

int32_t edgekv_blocks_keep(llama_context * ctx, int32_t block) {
    return on_context(ctx, [&](context_ext & context) { context.blocks.keep(block); });
}

int32_t edgekv_blocks(llama_context * ctx, int32_t layer, float * sums, size_t count) {
    return on_context(ctx, [&](context_ext & context) {
        require(sums, "place for the sums was");
        context.blocks.read(layer, sums, count);
    });
}

int32_t edgekv_rope(llama_context * ctx, int32_t layer, int32_t * pairs, double * frequencies, size_t capacity, size_t * n,
                    double * scale) {
    return on_context(ctx, [&](context_ext & context) {
        require(pairs && frequencies && n && scale, "place for the rotation was");
        context.cache.geometry().layer(layer);
        const rotation found = rotation_of(context.ropes.ropes()[layer]);
        *n                   = found.frequencies.size();
        if (capacity < *n) {
            fail(EDGEKV_E_ARGUMENT, "the rotation has %zu pairs, room was given for %zu", *n, capacity);
        }
        *pairs = found.pairs;
        *scale = found.scale;
        std::copy(found.frequencies.begin(), found.frequencies.end(), frequencies);
    });
}

int32_t edgekv_norms(llama_context * ctx, int32_t which, int32_t n_context, float * norms, size_t count) {
    return on_context(ctx, [&](context_ext & context) {
        if (which != EDGEKV_NORM_K && which != EDGEKV_NORM_V) {
            fail(EDGEKV_E_ARGUMENT, "there is no norm %d", which);
        }
        require_count("these norms", norms, count, n_context > 0 ? context.cache.geometry().n_heads_kv() * n_context : 0);
        read_norms(context.cache, which, n_context, norms);
    });
}

int32_t edgekv_rows(llama_context * ctx, int32_t which, int32_t layer, int32_t first, int32_t n, float * rows, size_t count) {
    return on_context(ctx, [&](context_ext & context) {
        require_rows(which);
        const layer_shape & shape = context.cache.geometry().layer(layer);
        require_count("these rows", rows, count, n > 0 ? (size_t) n * shape.n_head_kv * shape.head_size(which) : 0);
        read_rows(context.cache, which, layer, first, n, rows);
    });
}

int32_t edgekv_row_forms(llama_context * ctx, int32_t which, int32_t layer, int32_t form, int32_t n_context, int32_t n_forms,
                         const float * factors, size_t n_factors, float * results, size_t count) {
    return on_context(ctx, [&](context_ext & context) {
        require_rows(which);
        if (form != EDGEKV_FORM_LINEAR && form != EDGEKV_FORM_QUADRATIC && form != EDGEKV_FORM_SQUARES) {
            fail(EDGEKV_E_ARGUMENT, "there is no form %d", form);
        }
        if (n_context < 1 || n_forms < 1) {
            fail(EDGEKV_E_ARGUMENT, "%d forms of %d rows were asked for", n_forms, n_context);
        }
        const layer_shape & shape = context.cache.geometry().layer(layer);
        const size_t        d     = shape.head_size(which);
        const size_t        lists = (size_t) shape.n_head_kv * n_forms;
        require_count("factors", factors, n_factors, lists * d * (form == EDGEKV_FORM_LINEAR ? 1 : d));
        require_count("results", results, count, lists * n_context);
        read_forms(context.cache, which, layer, form, n_context, n_forms, factors, results);
    });
}

int32_t edgekv_row_moments(llama_context * ctx, int32_t which, int32_t layer, int32_t moment, int32_t n_context, int32_t n_sums,
                           const float * weights, size_t n_weights, double * sums, size_t count) {
    return on_context(ctx, [&](context_ext & context) {
        require_rows(which);
        if (moment != EDGEKV_MOMENT_FIRST && moment != EDGEKV_MOMENT_SECOND) {
            fail(EDGEKV_E_ARGUMENT, "there is no moment %d", moment);
        }
        if (n_context < 1 || n_sums < 1) {
            fail(EDGEKV_E_ARGUMENT, "%d sums over %d rows were asked for", n_sums, n_context);
        }
        const layer_shape & shape = context.cache.geometry().layer(layer);
        const size_t        d     = shape.head_size(which);
        const size_t        lists = (size_t) shape.n_head_kv * n_sums;
        require_count("weights", weights, n_weights, lists * n_context);
        require_count("sums", sums, count, lists * d * (moment == EDGEKV_MOMENT_FIRST ? 1 : d));
        read_moments(context.cache, which, layer, moment, n_context, n_sums, weights, sums);
    });
}

int32_t edgekv_output_norms(llama_context * ctx, int32_t kind, int32_t n_context, float * norms, size_t count) {
    return on_context(ctx, [&](context_ext & context) {
        if (kind != EDGEKV_OUTPUT_NORM_L1 && kind != EDGEKV_OUTPUT_NORM_L2) {
            fail(EDGEKV_E_ARGUMENT, "there is no norm %d", kind);
        }
        require_count("these norms", norms, count, n_context > 0 ? context.cache.geometry().n_heads() * n_context : 0);
        read_output_norms(context.cache, kind, n_context, norms);
    });
}
