// Values of rows that a plan drops, merged into those of rows that it keeps.
#pragma once

#include "cache/cache.h"

namespace edgekv {

// As edgekv_merge: n pairs in KV head head of a layer of a full cache.
void merge_values(compact_cache & cache, int32_t layer, int32_t head, const int32_t * dropped, const int32_t * kept, const float * weights,
                  size_t n);

} // namespace edgekv
