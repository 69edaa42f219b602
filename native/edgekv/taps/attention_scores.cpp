#include "taps/attention_scores.h"

#include "ggml-backend.h"
#include "llama-batch.h"

#include <algorithm>

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

void attention_scores::begin(edgekv_scores & scores) {
    m_cache.require_full("scores need");
    m_scores = &scores;
    try {
        see();
    } catch (...) {
        end();
        throw;
    }
    m_cache.graphs().pass_took_memory();
    m_cache.graphs().changed();
}

void attention_scores::end() {
    m_scores = nullptr;
    forget_seen();
    m_cache.graphs().changed();
}

void attention_scores::forget_seen() {
    m_seen.clear();
    for (auto & [buft, seen] : m_seen_on) {
        m_cache.graphs().drop(std::move(seen));
    }
    m_seen_on.clear();
}

void attention_scores::see() {
    forget_seen();
    if (m_scores->sees_all) {
        return;
    }

    // by cell; the tokens that are about to be fed are seen wherever they come to lie
    m_seen.assign(m_cache.n_ctx(), 1.0f);
    const auto cell_of = m_cache.cells_by_position(std::min(m_scores->n_context, m_cache.position()));
    for (const int32_t cell : cell_of) {
        if (cell >= 0) {
            m_seen[cell] = 0.0f;
        }
    }
    for (const auto & [first, end] : m_scores->ranges) {
        for (int32_t p = first; p < std::min(end, (int32_t) cell_of.size()); ++p) {
            if (cell_of[p] >= 0) {
                m_seen[cell_of[p]] = 1.0f;
            }
        }
    }
    for (const auto & layer : m_cache.layers()) {
        if (!layer.host && !m_seen_on.count(layer.buft)) {
            m_seen_on[layer.buft] = new_weights(layer.buft, m_cache.n_ctx(), 1, m_seen, "what a score pass sees");
        }
    }
}

void attention_scores::add_weights(const graph_part & part, ggml_tensor * weights) {
    if (m_cache.layer(part.layer).host) {
        add_on_host(part, weights);
    } else {
        add_on_device(part, weights);
    }
}

void attention_scores::add_on_host(const graph_part & part, ggml_tensor * weights) {
    weights_out & out    = m_out[part.layer];
    void * const  seen   = m_seen.empty() ? nullptr : m_seen.data();
    ggml_tensor * args[] = { weights, nullptr };
    if (seen) {
        args[1] =
            ggml_custom_4d(part.ctx, GGML_TYPE_F32, weights->ne[1], weights->ne[2], 1, 1, args, 1, rescale_weights, GGML_N_TASKS_MAX, seen);
    }
    out.max  = ggml_custom_4d(part.ctx, GGML_TYPE_F32, weights->ne[0], weights->ne[2], 2, 1, args, seen ? 2 : 1, reduce_weights,
                              GGML_N_TASKS_MAX, seen);
    out.sum  = nullptr;
    out.mean = false;
    part.add(out.max);
}

void attention_scores::add_on_device(const graph_part & part, ggml_tensor * weights) {
    weights_out &  out      = m_out[part.layer];
    ggml_context * ctx      = part.ctx;
    const int      n_tokens = (int) weights->ne[1];

    if (!m_seen.empty()) {
        ggml_tensor * seen = ggml_view_1d(ctx, m_seen_on.at(m_cache.layer(part.layer).buft).tensor, weights->ne[0], 0);
        weights            = ggml_mul(ctx, weights, seen);
        // a query always sees itself; what it gives itself may be too small for a number
        ggml_tensor * sum  = ggml_clamp(ctx, ggml_sum_rows(ctx, weights), 1e-30f, 2.0f);
        weights            = ggml_div(ctx, weights, sum);
    }
    out.max  = ggml_pool_2d(ctx, weights, GGML_OP_POOL_MAX, 1, n_tokens, 1, n_tokens, 0, 0);
    out.sum  = ggml_pool_2d(ctx, weights, GGML_OP_POOL_AVG, 1, n_tokens, 1, n_tokens, 0, 0);
    out.mean = true;
    part.add(out.max);
    part.add(out.sum);
}

void attention_scores::collect(const llama_ubatch & ubatch, const uint32_t *) {
    edgekv_scores & scores  = *m_scores;
    const auto      cell_of = m_cache.cells_by_position(std::min(scores.n_context, m_cache.position()));

    for (int32_t l = 0; l < m_cache.geometry().n_layer(); ++l) {
        const layer_shape & shape = m_cache.geometry().layers()[l];
        const weights_out & out   = m_out[l];
        const int64_t       n_kv  = out.max->ne[0];
        const int64_t       size  = n_kv * shape.n_head;

        m_scratch.resize(2 * size);
        float * const max = m_scratch.data();
        float * const sum = m_scratch.data() + size;

        if (out.sum) {
            ggml_backend_tensor_get(out.max, max, 0, size * sizeof(float));
            ggml_backend_tensor_get(out.sum, sum, 0, size * sizeof(float));
        } else {
            ggml_backend_tensor_get(out.max, max, 0, 2 * size * sizeof(float));
        }
        const float factor = out.mean ? (float) ubatch.n_tokens : 1.0f;

        for (int32_t h = 0; h < shape.n_head; ++h) {
            const size_t target = (shape.first_head + h) * scores.n_context;

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
    scores.n_queries += ubatch.n_tokens;
}

} // namespace edgekv
