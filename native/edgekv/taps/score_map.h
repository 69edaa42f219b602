// A linear map per layer from what its attention is given to one score per KV head, so that scores come with the prefill (docs/learned-scores.md).
#pragma once

#include "base/tensors.h"
#include "cache/geometry.h"

#include <vector>

struct llama_model;

namespace edgekv {

class score_map {
public:
    // weights [n_embd + 1][n_head_kv] of each layer, the bias last; copied to the devices of the layers.
    score_map(const llama_model & model, const float * weights);

    static size_t n_weights(const llama_model & model);

    // x [n_embd, n_tokens] -> [n_head_kv, n_tokens], the bias still to be added
    ggml_tensor * build(ggml_context * ctx, ggml_tensor * x, int32_t layer) const;

    // Adds the bias to [n_tokens][n_head_kv], on the host: in the graph it would be one more operation per layer and step.
    void add_bias(int32_t layer, int64_t n_tokens, float * scores) const;

private:
    struct map_layer {
        device_tensor      weight; // [n_embd, n_head_kv]
        std::vector<float> bias;   // [n_head_kv]
    };

    std::vector<map_layer> m_layers;
};

} // namespace edgekv
