// Laying the rows of a layer anew, on the device that holds them.
#pragma once

#include "cache/cache.h"

namespace edgekv {

// Where the rows of a KV head come from: indices into the rows that the cache has for it now.
using row_list = std::vector<int32_t>;

// Head h of target gets the rows that sources[h] names, from its first row on. heads: of target. Bit by bit, for every cache type.
void move_rows(const compact_cache & cache, const cache_layer & layer, const layer_storage & target, const std::vector<head_rows> & heads,
               const std::vector<row_list> & sources);

} // namespace edgekv
