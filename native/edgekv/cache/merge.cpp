#include "cache/merge.h"

#include "base/error.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace edgekv {

namespace {

// kept rows that are rewritten at one time: weights are [dropped rows of these, kept rows]
constexpr size_t CHUNK = 64;

} // namespace

void merge_values(compact_cache & cache, int32_t l, int32_t head, const int32_t * dropped, const int32_t * kept, const float * weights,
                  size_t n) {
    if (cache.compact()) {
        fail(EDGEKV_E_STATE, "values are merged before a plan, and this cache is compact");
    }
    const layer_shape & shape = cache.geometry().layer(l);
    if (head < 0 || head >= shape.n_head_kv) {
        fail(EDGEKV_E_ARGUMENT, "there is no KV head %d in layer %d, which has %d", head, l, shape.n_head_kv);
    }
    cache.settle();

    enum role : uint8_t { NONE, DROPPED, KEPT };

    const int32_t     n_context = cache.position();
    const auto        cell_of   = cache.cells_by_position(n_context);
    std::vector<role> roles(n_context, NONE);
    for (size_t i = 0; i < n; ++i) {
        for (const int32_t p : { dropped[i], kept[i] }) {
            if (p < 0 || p >= n_context || cell_of[p] < 0) {
                fail(EDGEKV_E_PLAN, "position %d is not in the cache", p);
            }
        }
        if (!std::isfinite(weights[i]) || weights[i] < 0) {
            fail(EDGEKV_E_PLAN, "the weight of position %d is %f; it must be 0 or more", dropped[i], weights[i]);
        }
        if (roles[dropped[i]] != NONE || roles[kept[i]] == DROPPED || dropped[i] == kept[i]) {
            fail(EDGEKV_E_PLAN, "position %d or %d is dropped twice, or dropped and kept", dropped[i], kept[i]);
        }
        roles[dropped[i]] = DROPPED;
        roles[kept[i]]    = KEPT;
    }

    std::vector<size_t> order(n);
    std::iota(order.begin(), order.end(), (size_t) 0);
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return kept[a] < kept[b]; });

    const cache_layer & layer  = cache.layer(l);
    const auto          row_of = [&](int32_t p) { return cell_of[p] * shape.n_head_kv + head; };

    for (size_t first = 0; first < n;) {
        std::vector<int32_t> from;
        std::vector<int32_t> to;
        std::vector<size_t>  target; // index into to, by row of from
        std::vector<double>  sums;   // of weights, by row of to

        size_t end = first;
        for (; end < n; ++end) {
            const size_t i = order[end];
            if (end == first || kept[i] != kept[order[end - 1]]) {
                if (to.size() == CHUNK) {
                    break;
                }
                to.push_back(row_of(kept[i]));
                sums.push_back(0);
            }
            from.push_back(row_of(dropped[i]));
            target.push_back(to.size() - 1);
            sums.back() += weights[i];
        }

        std::vector<float> shares(from.size() * to.size(), 0.0f);
        std::vector<float> rests(to.size());
        for (size_t i = 0; i < from.size(); ++i) {
            shares[target[i] * from.size() + i] = (float) (weights[order[first + i]] / (1 + sums[target[i]]));
        }
        std::transform(sums.begin(), sums.end(), rests.begin(), [](double sum) { return (float) (1 / (1 + sum)); });

        device_graph   graph("merging of values", 16, cache.graphs().kept_memory());
        ggml_context * ctx = graph.ctx();

        ggml_tensor * index_from = ggml_new_tensor_1d(ctx, GGML_TYPE_I32, (int64_t) from.size());
        ggml_tensor * index_to   = ggml_new_tensor_1d(ctx, GGML_TYPE_I32, (int64_t) to.size());
        ggml_tensor * share      = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, (int64_t) from.size(), (int64_t) to.size());
        ggml_tensor * rest       = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, 1, (int64_t) to.size());
        for (ggml_tensor * t : { index_from, index_to, share, rest }) {
            ggml_set_input(t);
        }

        // sums of rotated rows are rotated sums: what llama.cpp did to quantized rows can stay
        ggml_tensor * storage = cache.kv().get_v_storage(shape.il);
        ggml_tensor * rows    = ggml_reshape_2d(ctx, storage, shape.d_v, ggml_nelements(storage) / shape.d_v);
        ggml_tensor * gone    = ggml_cont(ctx, ggml_transpose(ctx, ggml_get_rows(ctx, rows, index_from))); // [from, d]
        ggml_tensor * cur     = ggml_mul_mat(ctx, gone, share);                                            // [d, to]
        ggml_mul_mat_set_prec(cur, GGML_PREC_F32);
        cur = ggml_add(ctx, cur, ggml_mul(ctx, ggml_get_rows(ctx, rows, index_to), rest));
        graph.add(ggml_set_rows(ctx, rows, cur, index_to));
        graph.allocate(layer.buft);

        ggml_backend_tensor_set(index_from, from.data(), 0, ggml_nbytes(index_from));
        ggml_backend_tensor_set(index_to, to.data(), 0, ggml_nbytes(index_to));
        ggml_backend_tensor_set(share, shares.data(), 0, ggml_nbytes(share));
        ggml_backend_tensor_set(rest, rests.data(), 0, ggml_nbytes(rest));
        graph.compute(cache.graphs().backend_of(layer.buft));

        first = end;
    }
}

} // namespace edgekv
