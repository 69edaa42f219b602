#include "cache/move_rows.h"

#include "base/error.h"

#include <algorithm>

namespace edgekv {

namespace {

// A tensor over memory that another one owns: view_tensor keeps the type, this does not.
ggml_tensor * alias(ggml_context * ctx, ggml_backend_buffer_t buffer, ggml_type type, int64_t ne0, int64_t ne1, size_t nb1,
                    void * address) {
    ggml_tensor * t = ggml_new_tensor_2d(ctx, type, ne0, ne1);

    t->nb[1] = nb1;
    t->nb[2] = nb1 * ne1;
    t->nb[3] = t->nb[2];

    if (ggml_backend_tensor_alloc(buffer, t, address) != GGML_STATUS_SUCCESS) {
        fail(EDGEKV_E_INTERNAL, "a view of the cache was refused by its backend");
    }

    return t;
}

void * address_in(const ggml_tensor * t, size_t offset) {
    return (char *) t->data + offset;
}

void compute(ggml_backend_t backend, ggml_cgraph * gf, const char * what) {
    switch (ggml_backend_graph_compute(backend, gf)) {
        case GGML_STATUS_SUCCESS:
            return;
        case GGML_STATUS_ABORTED:
            fail(EDGEKV_E_CANCELLED, "%s was interrupted", what);
        default:
            fail(EDGEKV_E_INTERNAL, "%s failed on %s: %s", what, ggml_backend_name(backend), llama_error().c_str());
    }
}

} // namespace

void move_rows(const compact_cache & cache, const cache_layer & layer, const layer_storage & target, const std::vector<head_rows> & heads,
               const std::vector<row_list> & sources) {
    // In llama.cpp's layout the rows of all heads of a cell lie side by side, in the compact one each head's lie together. Either way the whole tensor is one list of
    // rows, which kernels can bind where it starts.
    const int32_t n_head_kv = layer.shape.n_head_kv;
    const int32_t step      = cache.compact() ? 1 : n_head_kv;
    const auto    index_of  = [&](int32_t h, int32_t row) {
        return cache.compact() ? (int32_t) layer.heads[h].offset + row : row * n_head_kv + h;
    };

    // one list of indices per layer, each head's starting where a kernel can bind it
    constexpr size_t INDEX_STEP = DEVICE_OFFSET_ALIGNMENT / sizeof(int32_t);

    std::vector<size_t>  starts;
    std::vector<int32_t> indices;
    size_t               n_runs = 0;
    for (int32_t h = 0; h < n_head_kv; ++h) {
        starts.push_back(indices.size());
        for (size_t i = 0; i < sources[h].size(); ++i) {
            n_runs += i == 0 || sources[h][i] != sources[h][i - 1] + 1;
            indices.push_back(index_of(h, sources[h][i]));
        }
        indices.resize(round_up(indices.size(), INDEX_STEP), 0);
    }
    if (indices.empty()) {
        return;
    }

    // K and V, each run with its two ends
    const size_t n_nodes = 4 * std::max(n_runs, sources.size()) + 16;

    ggml_context_ptr ctx_index = new_context(1);
    ggml_tensor *    index     = ggml_new_tensor_1d(ctx_index.get(), GGML_TYPE_I32, (int64_t) indices.size());

    ggml_backend_buffer_ptr index_buffer{ ggml_backend_alloc_ctx_tensors_from_buft(ctx_index.get(), layer.buft) };
    if (!index_buffer) {
        fail(EDGEKV_E_MEMORY, "memory for the row indices of layer %d could not be had from %s", layer.shape.il,
             ggml_backend_buft_name(layer.buft));
    }
    ggml_backend_tensor_set(index, indices.data(), 0, indices.size() * sizeof(int32_t));

    ggml_context_ptr ctx = new_context(2 * n_nodes, n_nodes);
    ggml_cgraph *    gf  = ggml_new_graph_custom(ctx.get(), n_nodes, false);

    const auto move = [&](ggml_tensor * from, ggml_tensor * to, int64_t d) {
        const size_t  row    = ggml_row_size(to->type, d);
        const int64_t n_from = ggml_nelements(from) / d;

        for (int32_t h = 0; h < n_head_kv; ++h) {
            const size_t n_rows    = sources[h].size();
            const size_t to_offset = heads[h].offset * row;
            if (n_rows == 0) {
                continue;
            }

            if (row % sizeof(int32_t) == 0) {
                // rows as words: no type is converted, so this is exact for every cache type
                const int64_t n_words = (int64_t) (row / sizeof(int32_t));

                ggml_tensor * words = alias(ctx.get(), from->buffer, GGML_TYPE_I32, n_words, n_from, row, address_in(from, 0));
                ggml_tensor * picks = alias(ctx.get(), index_buffer.get(), GGML_TYPE_I32, (int64_t) n_rows, 1, n_rows * sizeof(int32_t),
                                            address_in(index, starts[h] * sizeof(int32_t)));

                // the result is written where it belongs, without a copy in between
                ggml_tensor * kept = ggml_get_rows(ctx.get(), words, picks);
                if (ggml_backend_tensor_alloc(to->buffer, kept, address_in(to, to_offset)) != GGML_STATUS_SUCCESS) {
                    fail(EDGEKV_E_INTERNAL, "a view of the cache was refused by its backend");
                }
                ggml_build_forward_expand(gf, kept);
                continue;
            }

            // head sizes such as 96 in q8_0: runs of rows, copied as they are
            const int32_t * picks = indices.data() + starts[h];
            for (size_t i = 0; i < n_rows;) {
                size_t n = 1;
                while (i + n < n_rows && picks[i + n] == picks[i] + (int32_t) n * step) {
                    ++n;
                }
                ggml_tensor * run =
                    alias(ctx.get(), from->buffer, from->type, d, (int64_t) n, step * row, address_in(from, picks[i] * row));
                ggml_tensor * dest = alias(ctx.get(), to->buffer, to->type, d, (int64_t) n, row, address_in(to, to_offset + i * row));

                ggml_tensor * copy = ggml_cpy(ctx.get(), run, dest);
                copy->buffer       = dest->buffer;
                copy->data         = dest->data;
                ggml_build_forward_expand(gf, copy);

                i += n;
            }
        }
    };

    move(cache.kv().get_k_storage(layer.shape.il), target.k, layer.shape.d_k);
    move(cache.kv().get_v_storage(layer.shape.il), target.v, layer.shape.d_v);

    compute(cache.graphs().backend_of(layer.buft), gf, "moving rows of the cache");
}

} // namespace edgekv
