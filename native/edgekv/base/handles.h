// What the opaque pointers of edgekv.h point to.
#pragma once

#include "base/error.h"

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace edgekv {
class score_map;
}

struct edgekv_score_map {
    std::shared_ptr<const edgekv::score_map> map; // contexts that use it keep it
};

struct edgekv_scores {
    int32_t  n_layer    = 0;
    size_t   n_heads    = 0; // attention heads of all layers
    int32_t  n_context  = 0;
    uint32_t aggregates = 0;
    int64_t  n_queries  = 0;

    bool                                     sees_all = true;
    std::vector<std::pair<int32_t, int32_t>> ranges; // first and end, ascending

    std::vector<float> max; // [heads of all layers, n_context]
    std::vector<float> sum;
};
