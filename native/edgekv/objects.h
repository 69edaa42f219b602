// What the opaque pointers of edgekv.h point to.
#pragma once

#include "compact_cache.h"
#include "error.h"

#include "llama.h"

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

struct edgekv_model {
    llama_model * model = nullptr;

    // contexts keep the model; the binding frees children first, foreign callers may not
    std::atomic<int> n_contexts{ 0 };

    ~edgekv_model();
};

struct edgekv_context {
    llama_context * ctx   = nullptr;
    bool            owned = false;

    edgekv_model * model = nullptr; // nullptr when attached

    std::unique_ptr<edgekv::compact_cache> cache;

    std::atomic<bool> interrupted{ false };

    ~edgekv_context();

    // Position of the next token.
    int32_t position() const;

    // llama_decode over tokens that fit one ubatch, positions from position() on; throws. logits: of edgekv_logits.
    void decode_batch(const int32_t * tokens, int32_t n_tokens, int32_t logits);

    // Feeds tokens in steps of step through decode_batch, reports progress, takes everything back on failure.
    // after is called when a step was computed.
    template <typename F>
    void feed(const int32_t * tokens, int32_t n_tokens, int32_t step, int32_t logits, edgekv_progress_fn progress, void * user, F && after);

    // Throws EDGEKV_E_WINDOW when n_tokens more do not fit.
    void check_window(int32_t n_tokens) const;

    void take_back(int32_t position);
};

struct edgekv_score_map {
    std::shared_ptr<const edgekv::score_map> map; // contexts that use it keep it
};

struct edgekv_sampler {
    llama_sampler * chain = nullptr;

    ~edgekv_sampler();
};

struct edgekv_scores {
    int32_t  n_layer    = 0;
    int32_t  n_head     = 0;
    int32_t  n_context  = 0;
    uint32_t aggregates = 0;
    int64_t  n_queries  = 0;

    bool                                     sees_all = true;
    std::vector<std::pair<int32_t, int32_t>> ranges; // first and end, ascending

    std::vector<float> max; // [n_layer, n_head, n_context]
    std::vector<float> sum;
};

template <typename F>
void edgekv_context::feed(const int32_t * tokens, int32_t n_tokens, int32_t step, int32_t logits, edgekv_progress_fn progress, void * user,
                          F && after) {
    const int32_t start = position();

    try {
        for (int32_t i = 0; i < n_tokens; i += step) {
            const int32_t n    = std::min(step, n_tokens - i);
            const bool    last = i + n == n_tokens;

            decode_batch(tokens + i, n, logits == EDGEKV_LOGITS_LAST && !last ? (int32_t) EDGEKV_LOGITS_NONE : logits);
            after(i, n);

            if (progress && !progress((float) (i + n) / n_tokens, user)) {
                edgekv::fail(EDGEKV_E_CANCELLED, "stopped by the caller after %d of %d tokens", i + n, n_tokens);
            }
        }
    } catch (...) {
        take_back(start);
        throw;
    }
}
