// How a model rotates keys (RoPE), and kept rows closed up: every key rotated from its position to its index.
#pragma once

#include "cache/cache.h"

#include <cstdint>
#include <vector>

namespace edgekv {

// How a layer's keys are rotated, as the graph says.
struct rope {
    bool                found = false; // false: not last of all
    int32_t             params[GGML_MAX_OP_PARAMS / sizeof(int32_t)];
    const ggml_tensor * factors = nullptr; // of the model; null: none
};

// Pair i of a key at position p is turned by p * frequencies[i] and multiplied by scale.
struct rotation {
    int32_t             pairs = 0; // an edgekv_rope_pairs
    std::vector<double> frequencies;
    double              scale = 1;
};

rotation rotation_of(const rope & rope);

// ropes: by layer. Throws EDGEKV_E_STATE where it is documented for edgekv_rerotate. When it fails while keys are rotated the cache is left empty.
void close_up_positions(compact_cache & cache, const std::vector<rope> & ropes);

} // namespace edgekv
