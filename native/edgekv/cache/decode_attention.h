// Attention of one token over a layer of the compact cache, as one operation for all heads.
//
// llama.cpp's own kernel has one call per run of heads with equal counts, hands out query heads when there are fewer than 512 rows, converts a row once per query
// head and sums V in f16. This one hands out rows, whatever head they belong to, reads and converts each once for all query heads of its group, and sums in f32
// (`./build.sh figures` times both).
#pragma once

#include "ggml.h"

#include <atomic>
#include <cstdint>
#include <vector>

namespace edgekv {

// What the operation reads besides its tensors. Lives as long as the graphs that use it.
struct decode_attention {
    struct rows {
        int64_t first = 0; // in the layer's tensors
        int64_t n     = 0; // kept rows; those of later tokens follow
    };

    std::vector<rows> heads; // by KV head

    int64_t n_kept  = 0; // columns of the mask before those of later tokens
    int64_t n_group = 0; // query heads per KV head
    int64_t d_k     = 0;
    int64_t d_v     = 0;
    int32_t n_parts = 1; // shares that the rows are cut into

    float scale   = 1.0f;
    float softcap = 0.0f; // 0: none

    std::atomic<int32_t> n_done{ 0 }; // threads that are through; the last one adds the shares up

    // Whether this machine has the instructions and the kernel the types; elsewhere llama.cpp's own kernel is used.
    static bool supports(ggml_type type_k, ggml_type type_v, int64_t d_k, int64_t d_v);

    // q [d_k, n_head, 1] f32, k [d_k, rows] and v [d_v, rows] of the layer, mask [cells, 1] f16, sinks [n_head] or NULL.
    // Returns [d_v * n_head, 1] f32. Reads the fields above when the graph is computed.
    ggml_tensor * build(ggml_context * ctx, ggml_tensor * q, ggml_tensor * k, ggml_tensor * v, ggml_tensor * mask, ggml_tensor * sinks);
};

} // namespace edgekv
