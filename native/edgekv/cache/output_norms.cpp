// What a row's value is worth to the layer's output: norms after the output matrix.
#include "base/error.h"
#include "cache/rows.h"

#include "llama-model.h"

#include <algorithm>
#include <memory>

namespace edgekv {

namespace {

// values that are multiplied by the output matrix at one time
constexpr int64_t CHUNK = 256;

// What a column of the identity is multiplied by where the other side of a product is rounded to 8 bits: this one is not.
constexpr float EXACT_IN_8_BITS = 127.0f;

// One head's columns of output matrices [n_head * d, n_embd] in f32, where the matrices lie, and the norms of what they make of values.
class head_output {
public:
    head_output(ggml_backend_t backend, int32_t kind, int64_t d, int64_t n_embd, device_graph::memory * keep)
        : m_backend(backend), m_buft(ggml_backend_get_default_buffer_type(backend)), m_norms("norms after the output matrix", 16, keep),
          m_keep(keep), m_d(d) {
        m_ctx    = new_context(1);
        m_weight = ggml_new_tensor_2d(m_ctx.get(), GGML_TYPE_F32, d, n_embd);
        m_buffer.reset(ggml_backend_alloc_ctx_tensors_from_buft(m_ctx.get(), m_buft));
        if (!m_buffer) {
            fail(EDGEKV_E_MEMORY, "memory for a head's output matrix could not be had from %s", ggml_backend_buft_name(m_buft));
        }

        ggml_context * ctx = m_norms.ctx();
        m_values           = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, d, CHUNK);
        ggml_set_input(m_values);

        ggml_tensor * cur = ggml_mul_mat(ctx, m_weight, m_values);
        ggml_mul_mat_set_prec(cur, GGML_PREC_F32);
        cur      = ggml_sum_rows(ctx, kind == EDGEKV_OUTPUT_NORM_L1 ? ggml_abs(ctx, cur) : ggml_sqr(ctx, cur));
        m_result = kind == EDGEKV_OUTPUT_NORM_L1 ? cur : ggml_sqrt(ctx, cur);
        m_norms.add(m_result);
        m_norms.allocate(m_buft);
    }

    bool fits(ggml_backend_t backend, int64_t d) const { return m_backend == backend && m_d == d; }

    void take_head(ggml_tensor * wo, int32_t head) {
        device_graph   graph("a head's output matrix", 16, m_keep);
        ggml_context * ctx = graph.ctx();

        // Columns of a quantized matrix start in the middle of blocks, and the CPU keeps some in an order of its own: their product with columns of the identity
        // is what every device can make of them.
        const bool plain =
            !ggml_is_quantized(wo->type) && (ggml_backend_buffer_is_host(wo->buffer) ||
                                             ggml_backend_dev_type(ggml_backend_get_device(m_backend)) != GGML_BACKEND_DEVICE_TYPE_CPU);
        if (plain) {
            ggml_tensor * columns = ggml_view_2d(ctx, wo, m_d, wo->ne[1], wo->nb[1], head * m_d * wo->nb[0]);
            graph.add(ggml_cpy(ctx, columns, m_weight));
            graph.allocate(m_buft);
            graph.compute(m_backend);
            return;
        }

        ggml_tensor * identity = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, wo->ne[0], m_d);
        ggml_set_input(identity);
        ggml_tensor * columns = ggml_mul_mat(ctx, wo, identity); // [n_embd, d]
        columns               = ggml_scale(ctx, columns, 1 / EXACT_IN_8_BITS);
        graph.add(ggml_cpy(ctx, ggml_transpose(ctx, columns), m_weight));
        graph.allocate(m_buft);

        m_scratch.assign(ggml_nelements(identity), 0.0f);
        for (int64_t i = 0; i < m_d; ++i) {
            m_scratch[i * wo->ne[0] + head * m_d + i] = EXACT_IN_8_BITS;
        }
        ggml_backend_tensor_set(identity, m_scratch.data(), 0, ggml_nbytes(identity));
        graph.compute(m_backend);
    }

    // values: n rows of d, stride numbers apart
    void norms(const float * values, int64_t stride, int64_t n, float * out) {
        for (int64_t first = 0; first < n; first += CHUNK) {
            const int64_t n_now = std::min(CHUNK, n - first);
            m_scratch.assign(CHUNK * m_d, 0.0f);
            for (int64_t i = 0; i < n_now; ++i) {
                std::copy_n(values + (first + i) * stride, m_d, m_scratch.data() + i * m_d);
            }
            ggml_backend_tensor_set(m_values, m_scratch.data(), 0, ggml_nbytes(m_values));
            m_norms.compute(m_backend);
            ggml_backend_tensor_get(m_result, out + first, 0, n_now * sizeof(float));
        }
    }

private:
    ggml_backend_t             m_backend;
    ggml_backend_buffer_type_t m_buft;

    ggml_context_ptr        m_ctx;
    ggml_backend_buffer_ptr m_buffer;
    ggml_tensor *           m_weight; // [d, n_embd]

    device_graph  m_norms;
    ggml_tensor * m_values; // [d, CHUNK]
    ggml_tensor * m_result; // [1, CHUNK]

    device_graph::memory * m_keep;

    int64_t            m_d;
    std::vector<float> m_scratch;
};

} // namespace

void require_output_matrix(const compact_cache & cache) {
    const llama_model & model = cache.ctx().get_model();

    for (const layer_shape & shape : cache.geometry().layers()) {
        const llama_layer & weights = model.layers[shape.il];
        if (!weights.wo || weights.wo->ne[0] != shape.d_v * shape.n_head || weights.wo_s || weights.attn_sub_norm || weights.wqkv_gate) {
            fail(EDGEKV_E_UNSUPPORTED, "layer %d of %s does not give the heads' results to an output matrix alone", shape.il,
                 model.arch_name().c_str());
        }
    }
}

void read_output_norms(compact_cache & cache, int32_t kind, int32_t n_context, float * out) {
    const llama_model & model = cache.ctx().get_model();
    require_output_matrix(cache);

    std::unique_ptr<head_output> output;
    std::vector<float>           values;
    for (int32_t l = 0; l < cache.geometry().n_layer(); ++l) {
        const layer_shape & shape = cache.geometry().layer(l);
        values.resize((size_t) n_context * shape.n_head_kv * shape.d_v);
        read_rows(cache, EDGEKV_ROW_V, l, 0, n_context, values.data());

        ggml_tensor *        wo      = model.layers[shape.il].wo;
        const ggml_backend_t backend = cache.graphs().backend_of(ggml_backend_buffer_get_type(wo->buffer));
        if (!output || !output->fits(backend, shape.d_v)) {
            output = std::make_unique<head_output>(backend, kind, shape.d_v, wo->ne[1], cache.graphs().kept_memory());
        }
        for (int32_t h = 0; h < shape.n_head; ++h) {
            output->take_head(wo, h);
            output->norms(values.data() + h / shape.n_group() * shape.d_v, shape.n_head_kv * shape.d_v, n_context,
                          out + (shape.first_head + h) * n_context);
        }
    }
}

} // namespace edgekv
