// Plans: which rows stay. And room for more tokens behind them.
#pragma once

#include "cache/cache.h"

namespace edgekv {

// As edgekv_apply takes it.
struct plan_view {
    const int32_t * counts      = nullptr; // by layer and KV head
    size_t          n_counts    = 0;
    const int32_t * positions   = nullptr; // by layer and KV head, ascending
    size_t          n_positions = 0;
};

// The cache keeps the rows that the plan names, with room for later tokens. Everything is checked, and the new form built, before the old one goes.
void apply_plan(compact_cache & cache, const plan_view & plan, uint32_t room, uint32_t align);

// Room for n_tokens more in a compact cache. false: memory was not to be had; nothing has changed but that some layers may have more room than is used.
bool grow(compact_cache & cache, uint32_t n_tokens);

} // namespace edgekv
