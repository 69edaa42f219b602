// A compact cache in llama.cpp's state files: geometry, positions and cells first, then the rows in use.
#pragma once

#include "cache/cache.h"

class llama_io_read_i;
class llama_io_write_i;

namespace edgekv {

void write_state(const compact_cache & cache, llama_io_write_i & io);

// seq_id: the sequence that the state is for, -1: as it was written. Everything is checked before the cache is changed. When it fails while rows are read the cache is
// compact and has none. Throws std::runtime_error with the reason.
void read_state(compact_cache & cache, llama_io_read_i & io, llama_seq_id seq_id);

} // namespace edgekv
