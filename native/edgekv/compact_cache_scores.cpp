// What policies are given: attention weights of score passes, and norms of the cached rows.
#include "compact_cache.h"

#include "objects.h"

#include "ggml-backend.h"

#include <algorithm>
#include <cmath>

namespace edgekv {

namespace {

// Columns that a thread reduces at one time: their two results stay in the first-level cache while the rows stream by.
constexpr int64_t BLOCK = 1024;

// dst [n_tokens, n_head]: what makes the weights of each query over the columns that seen[n_kv] allows, 0 or 1, add up to one.
void rescale_weights(ggml_tensor * dst, int ith, int nth, void * seen) {
    const ggml_tensor * weights = dst->src[0];
    const float *       allowed = (const float *) seen;

    for (int64_t job = ith; job < dst->ne[0] * dst->ne[1]; job += nth) {
        const int64_t t    = job % dst->ne[0];
        const int64_t head = job / dst->ne[0];
        const float * row  = (const float *) ((const char *) weights->data + t * weights->nb[1] + head * weights->nb[2]);

        double sum = 0;
        for (int64_t i = 0; i < weights->ne[0]; ++i) {
            sum += row[i] * allowed[i];
        }
        ((float *) dst->data)[job] = sum > 0 ? (float) (1 / sum) : 0.0f;
    }
}

// dst [n_kv, n_head, 2]: for every column of weights [n_kv, n_tokens, n_head] the largest value over the tokens, and the sum. ggml's own pooling has one thread
// and walks down columns, which costs more than the attention itself. With factors [n_tokens, n_head], those of rescale_weights, of the weights over seen[n_kv].
void reduce_weights(ggml_tensor * dst, int ith, int nth, void * seen) {
    const ggml_tensor * weights = dst->src[0];
    const ggml_tensor * factors = dst->src[1];
    const float *       allowed = (const float *) seen;

    const int64_t n_kv     = weights->ne[0];
    const int64_t n_tokens = weights->ne[1];
    const int64_t n_head   = weights->ne[2];
    const int64_t n_blocks = (n_kv + BLOCK - 1) / BLOCK;

    for (int64_t job = ith; job < n_head * n_blocks; job += nth) {
        const int64_t head  = job / n_blocks;
        const int64_t first = job % n_blocks * BLOCK;
        const int64_t n     = std::min(BLOCK, n_kv - first);

        float * max = (float *) ((char *) dst->data + head * dst->nb[1]) + first;
        float * sum = (float *) ((char *) dst->data + head * dst->nb[1] + dst->nb[2]) + first;

        std::fill(max, max + n, 0.0f); // weights are not negative
        std::fill(sum, sum + n, 0.0f);

        for (int64_t t = 0; t < n_tokens; ++t) {
            const float * row    = (const float *) ((const char *) weights->data + t * weights->nb[1] + head * weights->nb[2]) + first;
            const float   factor = factors ? ((const float *) factors->data)[head * n_tokens + t] : 1.0f;
            for (int64_t i = 0; i < n; ++i) {
                const float weight = row[i] * factor;
                max[i]             = std::max(max[i], weight);
                sum[i] += weight;
            }
        }
        for (int64_t i = 0; allowed && i < n; ++i) {
            max[i] *= allowed[first + i];
            sum[i] *= allowed[first + i];
        }
    }
}

} // namespace

void compact_cache::begin_scores(const edgekv_scores & scores) {
    if (m_compact) {
        fail(EDGEKV_E_STATE, "scores need the full cache, and this one is compact; clear the context and feed it again");
    }
    see(scores);
    m_scoring     = true;
    m_scores_used = true;
    changed();
}

void compact_cache::end_scores() {
    m_scoring = false;
    forget_seen();
    changed();
}

void compact_cache::forget_seen() {
    m_seen.clear();
    if (m_keeps_freed) {
        for (auto & [buft, seen] : m_seen_on) {
            m_freed_seen.push_back(std::move(seen));
        }
    }
    m_seen_on.clear();
}

void compact_cache::see(const edgekv_scores & scores) {
    forget_seen();
    if (scores.sees_all) {
        return;
    }

    // by cell; the tokens that are about to be fed are seen wherever they come to lie
    m_seen.assign(m_n_ctx, 1.0f);
    const auto cell_of = cells_by_position(std::min(scores.n_context, position()));
    for (const int32_t cell : cell_of) {
        if (cell >= 0) {
            m_seen[cell] = 0.0f;
        }
    }
    for (const auto & [first, end] : scores.ranges) {
        for (int32_t p = first; p < std::min(end, (int32_t) cell_of.size()); ++p) {
            if (cell_of[p] >= 0) {
                m_seen[cell_of[p]] = 1.0f;
            }
        }
    }

    for (const auto & layer : m_layers) {
        if (layer.host || m_seen_on.count(layer.buft)) {
            continue;
        }
        device_tensor & seen = m_seen_on[layer.buft];

        const ggml_init_params params = {
            /*.mem_size   =*/ggml_tensor_overhead(),
            /*.mem_buffer =*/nullptr,
            /*.no_alloc   =*/true,
        };
        seen.ctx.reset(ggml_init(params));
        seen.tensor = ggml_new_tensor_1d(seen.ctx.get(), GGML_TYPE_F32, m_n_ctx);
        seen.buffer.reset(ggml_backend_alloc_ctx_tensors_from_buft(seen.ctx.get(), layer.buft));
        if (!seen.buffer) {
            fail(EDGEKV_E_MEMORY, "memory for what a score pass sees could not be had from %s", ggml_backend_buft_name(layer.buft));
        }
        ggml_backend_buffer_set_usage(seen.buffer.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
        ggml_backend_tensor_set(seen.tensor, m_seen.data(), 0, m_seen.size() * sizeof(float));
    }
}

void compact_cache::release_scores() {
    if (m_scores_used) {
        m_scores_used = false;
        reserve(); // the scheduler's buffers never shrink by themselves
    }
}

void compact_cache::add_weights(ggml_context * ctx, ggml_cgraph * gf, ggml_tensor * weights, int32_t il) {
    const int32_t l = m_layer_of[il];
    if (!m_kept_cells.empty()) {
        add_eviction(ctx, gf, weights, l);
        return;
    }
    weights_out & out = m_weights[l];

    if (m_layers[l].host) {
        void * const  seen   = m_seen.empty() ? nullptr : m_seen.data();
        ggml_tensor * args[] = { weights, nullptr };
        if (seen) {
            args[1] =
                ggml_custom_4d(ctx, GGML_TYPE_F32, weights->ne[1], weights->ne[2], 1, 1, args, 1, rescale_weights, GGML_N_TASKS_MAX, seen);
        }
        out.max  = ggml_custom_4d(ctx, GGML_TYPE_F32, weights->ne[0], weights->ne[2], 2, 1, args, seen ? 2 : 1, reduce_weights,
                                  GGML_N_TASKS_MAX, seen);
        out.sum  = nullptr;
        out.mean = false;
    } else {
        const int n_tokens = (int) weights->ne[1];

        if (!m_seen.empty()) {
            ggml_tensor * seen = ggml_view_1d(ctx, m_seen_on.at(m_layers[l].buft).tensor, weights->ne[0], 0);
            weights            = ggml_mul(ctx, weights, seen);
            // a query always sees itself; what it gives itself may be too small for a number
            ggml_tensor * sum  = ggml_clamp(ctx, ggml_sum_rows(ctx, weights), 1e-30f, 2.0f);
            weights            = ggml_div(ctx, weights, sum);
        }

        out.max  = ggml_pool_2d(ctx, weights, GGML_OP_POOL_MAX, 1, n_tokens, 1, n_tokens, 0, 0);
        out.sum  = ggml_pool_2d(ctx, weights, GGML_OP_POOL_AVG, 1, n_tokens, 1, n_tokens, 0, 0);
        out.mean = true;
    }

    for (ggml_tensor * t : { out.max, out.sum }) {
        if (t) {
            ggml_set_output(t);
            ggml_build_forward_expand(gf, t);
        }
    }
}

void compact_cache::collect_scores(edgekv_scores & scores, int32_t n_tokens) {
    m_ctx.synchronize();

    const auto cell_of = cells_by_position(std::min(scores.n_context, position()));

    for (int32_t l = 0; l < n_layer(); ++l) {
        const weights_out & out  = m_weights[l];
        const int64_t       n_kv = out.max->ne[0];
        const int64_t       size = n_kv * m_n_head;

        m_weights_scratch.resize(2 * size);
        float * const max = m_weights_scratch.data();
        float * const sum = m_weights_scratch.data() + size;

        if (out.sum) {
            ggml_backend_tensor_get(out.max, max, 0, size * sizeof(float));
            ggml_backend_tensor_get(out.sum, sum, 0, size * sizeof(float));
        } else {
            ggml_backend_tensor_get(out.max, max, 0, 2 * size * sizeof(float));
        }
        const float factor = out.mean ? (float) n_tokens : 1.0f;

        for (int32_t h = 0; h < m_n_head; ++h) {
            const size_t target = ((size_t) l * m_n_head + h) * scores.n_context;

            for (size_t p = 0; p < cell_of.size(); ++p) {
                const int32_t cell = cell_of[p];
                if (cell < 0 || cell >= n_kv) {
                    continue;
                }
                if (!scores.max.empty()) {
                    scores.max[target + p] = std::max(scores.max[target + p], max[h * n_kv + cell]);
                }
                if (!scores.sum.empty()) {
                    scores.sum[target + p] += factor * sum[h * n_kv + cell];
                }
            }
        }
    }

    scores.n_queries += n_tokens;
}

void compact_cache::norms(int32_t which, int32_t n_context, float * out) {
    if (m_compact) {
        fail(EDGEKV_E_STATE, "norms need the full cache, and this one is compact");
    }
    if (n_context < 0 || n_context > position()) {
        fail(EDGEKV_E_ARGUMENT, "norms of %d positions were asked for, the cache has %d", n_context, position());
    }
    if (n_context == 0) {
        return;
    }

    m_ctx.synchronize();

    const auto cell_of = cells_by_position(n_context);
    for (int32_t p = 0; p < n_context; ++p) {
        if (cell_of[p] < 0) {
            fail(EDGEKV_E_STATE, "position %d is not in the cache", p);
        }
    }
    const int64_t n_cells = *std::max_element(cell_of.begin(), cell_of.end()) + 1;

    for (int32_t l = 0; l < n_layer(); ++l) {
        const compact_layer & layer = m_layers[l];

        ggml_tensor * rows = which == EDGEKV_NORM_K ? m_kv.get_k_storage(layer.il) : m_kv.get_v_storage(layer.il);
        const int64_t d    = which == EDGEKV_NORM_K ? m_d_k : m_d_v;

        device_graph  graph("norms of the cache", 16, kept_memory());
        ggml_tensor * cur = ggml_view_2d(graph.ctx(), rows, rows->ne[0], n_cells, rows->nb[1], 0);
        cur               = ggml_cast(graph.ctx(), cur, GGML_TYPE_F32);
        cur               = ggml_reshape_2d(graph.ctx(), cur, d, m_n_head_kv * n_cells);
        cur               = ggml_sqrt(graph.ctx(), ggml_sum_rows(graph.ctx(), ggml_sqr(graph.ctx(), cur)));
        graph.add(cur);
        graph.allocate(layer.buft);
        graph.compute(backend_of(layer.buft));

        m_weights_scratch.resize(n_cells * m_n_head_kv);
        ggml_backend_tensor_get(cur, m_weights_scratch.data(), 0, m_weights_scratch.size() * sizeof(float));

        for (int32_t h = 0; h < m_n_head_kv; ++h) {
            for (int32_t p = 0; p < n_context; ++p) {
                out[((size_t) l * m_n_head_kv + h) * n_context + p] = m_weights_scratch[(size_t) cell_of[p] * m_n_head_kv + h];
            }
        }
    }
}

} // namespace edgekv
