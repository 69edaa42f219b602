// Ids and learned scores of a cache's tokens, by position.
#pragma once

#include "cache/cache.h"

#include <cstdint>

struct llama_ubatch;

namespace edgekv {

// All throw EDGEKV_E_ARGUMENT where positions first .. first + n - 1 are not all in the cache, EDGEKV_E_STATE where it holds several sequences.

// token_records::UNKNOWN where the id is not known.
void read_tokens(const compact_cache & cache, int32_t first, int32_t n, int32_t * ids);
void set_tokens(compact_cache & cache, int32_t first, int32_t n, const int32_t * ids);

// Scores [KV heads of all layers, n]. Throws EDGEKV_E_STATE where some are not known.
void read_learned(const compact_cache & cache, int32_t first, int32_t n, float * scores);
void read_learned_known(const compact_cache & cache, int32_t first, int32_t n, uint8_t * known);
void set_learned(compact_cache & cache, int32_t first, int32_t n, const uint8_t * known, const float * scores);

// After a ubatch's graph: what its cells hold. Nothing is known of them when it was not computed.
void record_ubatch(compact_cache & cache, const llama_ubatch & ubatch, const uint32_t * cells, bool computed);

// What is known of positions 0 .. n_context - 1, whichever way the cache has them.
token_records records_by_position(const compact_cache & cache, int32_t n_context);

// What is known of positions once rows are closed up: each row's score goes with it, and the rows of a position are of different tokens.
token_records records_by_row(const compact_cache & cache);

// Before a state is read into a full cache: cells that it may come to fill. seq_id: the sequence that it is for, -1: all.
void forget_cells(compact_cache & cache, llama_seq_id seq_id);

} // namespace edgekv
