#include "taps/score_map.h"

#include "base/error.h"

#include "llama-model.h"

namespace edgekv {

size_t score_map::n_weights(const llama_model & model) {
    return cache_geometry(model).n_heads_kv() * (model.hparams.n_embd + 1);
}

score_map::score_map(const llama_model & model, const float * weights) {
    const int64_t        n_embd = model.hparams.n_embd;
    const cache_geometry geometry(model);

    for (const layer_shape & shape : geometry.layers()) {
        const int64_t      n_head = shape.n_head_kv;
        std::vector<float> rows(n_embd * n_head);
        for (int64_t h = 0; h < n_head; ++h) {
            for (int64_t i = 0; i < n_embd; ++i) {
                rows[h * n_embd + i] = weights[i * n_head + h];
            }
        }
        map_layer layer;
        layer.weight = new_weights(ggml_backend_dev_buffer_type(model.dev_layer((uint32_t) shape.il)), n_embd, n_head, rows,
                                   text("the score map of layer %d", shape.il));
        layer.bias.assign(weights + n_embd * n_head, weights + (n_embd + 1) * n_head);
        m_layers.push_back(std::move(layer));

        weights += (n_embd + 1) * n_head;
    }
}

ggml_tensor * score_map::build(ggml_context * ctx, ggml_tensor * x, int32_t layer) const {
    return ggml_mul_mat(ctx, m_layers.at(layer).weight.tensor, x);
}

void score_map::add_bias(int32_t layer, int64_t n_tokens, float * scores) const {
    const std::vector<float> & bias = m_layers.at(layer).bias;
    for (int64_t t = 0; t < n_tokens; ++t) {
        for (size_t h = 0; h < bias.size(); ++h) {
            scores[t * bias.size() + h] += bias[h];
        }
    }
}

} // namespace edgekv
