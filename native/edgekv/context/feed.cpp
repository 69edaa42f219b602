#include "context/feed.h"

#include <algorithm>
#include <vector>

namespace edgekv {

namespace {

void check_window(const context_ext & context, int32_t n_tokens) {
    const compact_cache & cache  = context.cache;
    const int32_t         window = (int32_t) context.ctx.get_model().hparams.n_ctx_train;
    const int64_t         needed = (int64_t) cache.position() + n_tokens;

    if (needed > window) {
        fail(EDGEKV_E_WINDOW, "%lld tokens are more than the model's window of %d", (long long) needed, window);
    }
    if (!cache.compact() && needed > (int64_t) cache.n_ctx()) {
        fail(EDGEKV_E_WINDOW, "%lld tokens are more than the %u that the context was made for", (long long) needed, cache.n_ctx());
    }
}

// n_tokens fit one ubatch
void decode_step(context_ext & context, const int32_t * tokens, int32_t n_tokens, int32_t logits) {
    const int32_t start  = context.cache.position();
    llama_seq_id  seq_id = context.cache.sequence();

    std::vector<llama_pos>      positions(n_tokens);
    std::vector<int32_t>        n_seq_id(n_tokens, 1);
    std::vector<llama_seq_id *> seq_ids(n_tokens, &seq_id);
    std::vector<int8_t>         outputs(n_tokens, logits == EDGEKV_LOGITS_ALL);
    for (int32_t i = 0; i < n_tokens; ++i) {
        positions[i] = start + i;
    }
    if (logits == EDGEKV_LOGITS_LAST) {
        outputs[n_tokens - 1] = 1;
    }

    llama_batch batch = {};
    batch.n_tokens    = n_tokens;
    batch.token       = const_cast<llama_token *>(tokens);
    batch.pos         = positions.data();
    batch.n_seq_id    = n_seq_id.data();
    batch.seq_id      = seq_ids.data();
    batch.logits      = outputs.data();

    const log_scope scope;
    switch (const int32_t status = llama_decode(&context.ctx, batch)) {
        case 0:
            llama_synchronize(&context.ctx);
            return;
        case 1:
            fail(EDGEKV_E_MEMORY, "no room for %d more tokens in the cache: %s", n_tokens, llama_error().c_str());
        case 2:
            fail(EDGEKV_E_CANCELLED, "decoding was interrupted");
        default:
            context.require_sound();
            fail(EDGEKV_E_INTERNAL, "llama.cpp could not decode (%d): %s", status, llama_error().c_str());
    }
}

} // namespace

int32_t tokens_per_batch(const context_ext & context) {
    return (int32_t) std::min(context.ctx.n_batch(), context.ctx.n_ubatch());
}

void check_tokens(const context_ext & context, const int32_t * tokens, int32_t n_tokens) {
    if (n_tokens <= 0 || !tokens) {
        fail(EDGEKV_E_ARGUMENT, "no tokens were given");
    }
    const int32_t n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(&context.ctx.get_model()));
    for (int32_t i = 0; i < n_tokens; ++i) {
        if (tokens[i] < 0 || tokens[i] >= n_vocab) {
            fail(EDGEKV_E_ARGUMENT, "token %d at index %d is not in 0 .. %d", tokens[i], i, n_vocab - 1);
        }
    }
}

void feed(context_ext & context, const feed_request & request) {
    check_window(context, request.n_tokens);

    const int32_t start = context.cache.position();
    try {
        for (int32_t i = 0; i < request.n_tokens; i += request.step) {
            const int32_t n      = std::min(request.step, request.n_tokens - i);
            const bool    last   = i + n == request.n_tokens;
            const int32_t logits = request.logits == EDGEKV_LOGITS_LAST && !last ? (int32_t) EDGEKV_LOGITS_NONE : request.logits;

            decode_step(context, request.tokens + i, n, logits);

            if (request.progress && !request.progress((float) (i + n) / request.n_tokens, request.user)) {
                fail(EDGEKV_E_CANCELLED, "stopped by the caller after %d of %d tokens", i + n, request.n_tokens);
            }
        }
    } catch (...) {
        take_back(context, start);
        throw;
    }
}

void take_back(context_ext & context, int32_t position) {
    const compact_cache & cache = context.cache;
    if (position >= cache.position()) {
        return;
    }
    if (position < cache.n_context()) {
        fail(EDGEKV_E_STATE, "position %d is before %d, up to where rows were kept by compaction; clear the context to start anew",
             position, cache.n_context());
    }
    llama_memory_seq_rm(context.ctx.get_memory(), cache.sequence(), position, -1);
}

} // namespace edgekv
